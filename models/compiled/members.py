"""The members of a pack as records for the library: addresses of their numbers, and their hyperparameters."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_void_p
from typing import Any

import numpy as np

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.losses import LOSSES, MEDIAN
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.tasks import Task
from foldstep.models.catalog.units import UNITS
from foldstep.models.class_numbers import ClassNumbers
from foldstep.models.compiled.interface import FACTORS, PARTS, RECORDS, STACKS, STAGE_PARTS, number_of
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage
from foldstep.models.layout import Layout, Slot
from foldstep.models.stack import Stack, is_own, noisy_parts, part_names
from foldstep.models.streams import Stream, threshold
from foldstep.models.updates import part_factors, update_numbers

WIDEST = 768
"""Units of a layer up to which the library is faster than the eager backend, whose large products are cut into blocks:
1.4 times at 256, 1.2 at 512, 0.95 at 1024 (batches of 128)."""


def is_covered(hp: Hyperparameters) -> bool:
    """Tell whether the library can train such a network: it implements all choices, and no layer is very wide."""
    backends = [OPTIMIZERS[hp.optimizer].rule.backends, *(ACTIVATIONS[name].backends for name in hp.activation)]
    backends.append(UNITS[hp.units].backends)
    if hp.loss is not None:  # the library implements the defaults of all tasks
        backends.append(LOSSES[hp.loss].backends)
    is_known = all("compiled" in those for those in backends)
    return is_known and max(hp.hidden, default=0) <= WIDEST


class CompiledMembers:
    """The records of all members of a layout; they point into the stacks, which must outlive them.

    Attributes:
        records: in the layout's order.
        in_bf16: whether some members round the factors of their products to bfloat16.

    Args:
        layout: the members; `is_covered` holds for each.
        stacks: by their names in `STACKS`; `second`, `average` and `initial` may be missing.
        streams: the pack's streams, in the order of the noise keys.
        task: the task of the search.
        of_classes: for each member the numbers of its classes.
        levels: of the search's quantiles; none for the median.
        has_tiles: whether to round the factors of products for members whose `precision` is bfloat16.
    """

    def __init__(
        self,
        layout: Layout,
        stacks: dict[str, Stack],
        streams: Sequence[Stream],
        task: Task,
        of_classes: Sequence[ClassNumbers],
        levels: Sequence[float],
        has_tiles: bool,
    ) -> None:
        self._layout, self._stacks = layout, stacks
        self._levels = np.array(levels or MEDIAN, dtype=np.float64)
        self._kept: list[object] = []  # keeps alive what the records point to, apart from the stacks
        self.records = (RECORDS["Member"] * len(layout))()
        may_round = [has_tiles and slot.hp.precision == "bfloat16" for slot in layout.slots]
        self.in_bf16 = any(may_round)
        index = {stream: i for i, stream in enumerate(streams)}
        self._kinds = {kind: i for i, kind in enumerate(noisy_parts(layout, stacks["gradients"]))}
        for i, (slot, numbers) in enumerate(zip(layout.slots, of_classes, strict=True)):
            layers = self._layers(i, slot)
            self._kept.append(layers)
            loss = self._loss(slot.hp, task, numbers)
            self.records[i] = RECORDS["Member"](
                layers=layers, n_layers=slot.depth + 1, group=slot.group, stream=index[slot.stream],
                in_bf16=may_round[i], dropout=_dropout(slot.hp.input_dropout), loss=loss, update=_update(slot.hp),
                stage=None if slot.stage is None else self._stage(i, slot, slot.stage),
            )  # fmt: skip

    def _layers(self, member: int, slot: Slot) -> Any:
        """Make the records of a member's layers, the output layer last."""
        sizes = slot.sizes(self._layout.n_outputs)
        records = (RECORDS["Layer"] * (slot.depth + 1))()
        for i, block in enumerate(self._layout.blocks):
            if block.stage is None and block.run.holds(member):
                record = records[block.layer]
                record.inputs, record.units, record.row = sizes[block.layer], sizes[block.layer + 1], block.n_in
                for part in part_names(block, self._layout, statistics=True):
                    if is_own(part, slot.hp, block):
                        self._point(getattr(record, PARTS[part]), i, part, member)
                    if part in FACTORS:
                        setattr(record, FACTORS[part], self._factors(slot.hp, part, block.layer))
                record.gain = slot.hp.weight_gain(record.inputs)
                if not block.is_output:
                    record.norm_momentum, record.skips = slot.hp.norm_momentum, slot.hp.skips(block.layer)
                    record.kind = number_of("Units", slot.hp.units)
                    record.activation = number_of("Activation", slot.hp.activation[block.layer])
                    record.norm = number_of("Norm", slot.hp.norm)
                    record.dropout = _dropout(slot.hp.dropout[block.layer])
        return records

    def _stage(self, member: int, slot: Slot, stage: InputStage) -> Any:
        """Make a pointer to the record of a member's input stage."""
        at = {
            "embedded": stage.embedded, "kept": stage.kept, "missing_at": [i for pair in stage.missing for i in pair],
            "codes": [i for code in stage.codes for i in code],
        }  # fmt: skip
        numbers = {name: np.array(inputs, dtype=np.int64) for name, inputs in at.items()}
        record = RECORDS["Stage"](
            kind=number_of("Embedding", stage.kind), inputs=stage.n_inputs, units=stage.n_units,
            columns=len(stage.embedded), size=stage.size, n_linear=stage.n_linear, features=stage.n_features,
            frequencies=stage.frequencies, bins=stage.bins, maps=stage.n_maps, n_kept=len(stage.kept),
            pairs=len(stage.missing), n_codes=len(stage.codes),
            **{name: array.ctypes.data for name, array in numbers.items()},
        )  # fmt: skip
        block = next(i for i, b in enumerate(self._layout.blocks) if b.stage is not None and b.run.holds(member))
        for name in STAGE_PARTS:
            if name in stage.shapes:
                part = getattr(record, name)
                self._point(part.values, block, name, member)
                shape = self._stacks["parameters"].of(block, name).shape
                part.count, part.row = shape[1] * shape[2], shape[2]
                part.rows, part.columns = stage.shapes[name]
                part.factors = self._factors(slot.hp, name, 0)
        self._kept += [record, numbers]
        return ctypes.pointer(record)

    def _factors(self, hp: Hyperparameters, part: str, layer: int) -> Any:
        kind = self._kinds.get((layer, part), 0)  # only members with noise on their gradients read it
        return RECORDS["Factors"](*part_factors(hp, part, layer), kind)

    def _point(self, pointers: ctypes.Array[c_void_p], block: int, name: str, member: int) -> None:
        row = member - self._layout.blocks[block].run.start
        for i, stack in enumerate(STACKS):
            if stack == "initial" and self._layout.slots[member].hp.decay_towards == "zero":
                continue
            if stack in self._stacks and self._stacks[stack].has(block, name):
                pointers[i] = self._stacks[stack].of(block, name)[row].data_ptr()

    def _loss(self, hp: Hyperparameters, task: Task, of_classes: ClassNumbers) -> Any:
        name = number_of("Loss", hp.loss_for(task))
        record = RECORDS["LossNumbers"](name=name, number=hp.loss_number, smoothing=hp.smoothing)
        if LOSSES[hp.loss_for(task)].has_levels:
            record.levels = self._levels.ctypes.data
        for field, values in (("class_weights", of_classes.weights), ("spread", of_classes.spread)):
            if values is not None:
                numbers = np.ascontiguousarray(values, dtype=np.float64)
                self._kept.append(numbers)
                setattr(record, field, numbers.ctypes.data)
        return record


def _dropout(rate: float) -> Any:
    return RECORDS["Dropout"](below=threshold(rate), scale=1 / (1 - rate), rate=rate)


def _update(hp: Hyperparameters) -> Any:
    return RECORDS["RuleNumbers"](
        rule=number_of("Rule", hp.family),
        l1=hp.l1,
        clip=hp.clip_norm,
        noise=hp.noise_variance**0.5,
        average=1 - hp.ema_decay,
        **update_numbers(hp)._asdict(),
    )
