"""The members of a pack as records for the library: addresses of their numbers, and their hyperparameters."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_void_p
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.tasks import Task
from foldstep.models.compiled.interface import PARTS, RECORDS, STACKS, number_of
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.layout import Layout, Slot
from foldstep.models.noise import Stream, threshold
from foldstep.models.stack import Stack, is_own, part_names
from foldstep.models.updates import update_numbers

WIDEST = 768
"""Units of a layer up to which the library is faster than the eager backend, whose large products are cut into blocks:
1.4 times at 256, 1.2 at 512, 0.95 at 1024 (batches of 128)."""


def is_covered(hp: Hyperparameters) -> bool:
    """Tell whether the library can train such a network: it implements all choices, and no layer is very wide."""
    backends = [OPTIMIZERS[hp.optimizer].rule.backends, *(ACTIVATIONS[name].backends for name in hp.activation)]
    if hp.loss is not None:  # every backend implements the defaults of both tasks
        backends.append(LOSSES[hp.loss].backends)
    return all("compiled" in those for those in backends) and max(hp.hidden, default=0) <= WIDEST


class CompiledMembers:
    """The records of all members of a layout; they point into the stacks, which must outlive them.

    Attributes:
        records: in the layout's order.
        in_bf16: whether some members round the factors of their products to bfloat16.

    Args:
        layout: the members; `is_covered` holds for each.
        stacks: by their names in `STACKS`; `second` and `average` may be missing.
        streams: the pack's streams, in the order of the noise keys.
        task: `classification` or `regression`.
        class_weights: for each member the weights of its classes, (classes,); None for equal weights.
        has_tiles: whether to round the factors of products for members whose `precision` is bfloat16.
    """

    def __init__(
        self,
        layout: Layout,
        stacks: dict[str, Stack],
        streams: Sequence[Stream],
        task: Task,
        class_weights: Sequence[npt.NDArray[np.float64] | None],
        has_tiles: bool,
    ) -> None:
        self._layout, self._stacks = layout, stacks
        self._kept: list[object] = []  # keeps alive what the records point to, apart from the stacks
        self.records = (RECORDS["Member"] * len(layout))()
        may_round = [has_tiles and slot.hp.precision == "bfloat16" for slot in layout.slots]
        self.in_bf16 = any(may_round)
        index = {stream: i for i, stream in enumerate(streams)}
        for i, (slot, weights) in enumerate(zip(layout.slots, class_weights, strict=True)):
            layers = self._layers(i, slot)
            self._kept.append(layers)
            loss = self._loss(slot.hp, task, weights)
            self.records[i] = RECORDS["Member"](
                layers=layers, n_layers=slot.depth + 1, group=slot.group, stream=index[slot.stream],
                in_bf16=may_round[i], dropout=_dropout(slot.hp.input_dropout), loss=loss, update=_update(slot.hp),
            )  # fmt: skip

    def _layers(self, member: int, slot: Slot) -> Any:
        """Make the records of a member's layers, the output layer last."""
        sizes = slot.sizes(self._layout.n_outputs)
        records = (RECORDS["Layer"] * (slot.depth + 1))()
        for i, block in enumerate(self._layout.blocks):
            if block.run.holds(member):
                record = records[block.layer]
                record.inputs, record.units, record.row = sizes[block.layer], sizes[block.layer + 1], block.n_in
                for part in part_names(block, self._layout, statistics=True):
                    if is_own(part, slot.hp.norm, block):
                        self._point(getattr(record, PARTS[part]), i, part, member - block.run.start)
                if not block.is_output:
                    record.activation = number_of("Activation", slot.hp.activation[block.layer])
                    record.norm = number_of("Norm", slot.hp.norm)
                    record.dropout = _dropout(slot.hp.dropout[block.layer])
        return records

    def _point(self, pointers: ctypes.Array[c_void_p], block: int, name: str, row: int) -> None:
        for i, stack in enumerate(STACKS):
            if stack in self._stacks and self._stacks[stack].has(block, name):
                pointers[i] = self._stacks[stack].of(block, name)[row].data_ptr()

    def _loss(self, hp: Hyperparameters, task: Task, class_weights: npt.NDArray[np.float64] | None) -> Any:
        name = number_of("Loss", hp.loss_for(task))
        record = RECORDS["LossNumbers"](name=name, bend=hp.huber_delta, smoothing=hp.label_smoothing)
        if class_weights is not None:
            numbers = np.ascontiguousarray(class_weights, dtype=np.float64)
            self._kept.append(numbers)
            record.class_weights = numbers.ctypes.data
        return record


def _dropout(rate: float) -> Any:
    return RECORDS["Dropout"](below=threshold(rate), scale=1 / (1 - rate))


def _update(hp: Hyperparameters) -> Any:
    return RECORDS["RuleNumbers"](
        rule=number_of("Rule", hp.family),
        l1=hp.l1,
        clip=hp.clip_norm,
        average=1 - hp.ema_decay,
        **update_numbers(hp)._asdict(),
    )
