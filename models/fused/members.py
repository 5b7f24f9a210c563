"""The tables that describe the members of a pack to the kernel, and the choice of members that it can train."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from foldstep.models.catalog.optimizers import FAMILIES
from foldstep.models.catalog.tasks import Task
from foldstep.models.catalog.units import UNITS
from foldstep.models.fused.numbers import (
    ACTIVATION_NAMES,
    FAMILY_NAMES,
    LAYER_COLUMNS,
    LOSS_NAMES,
    MEMBER_COLUMNS,
    REAL_COLUMNS,
)
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.layout import Layout, Slot, padded
from foldstep.models.stack import Stack
from foldstep.models.streams import Stream, threshold
from foldstep.models.updates import update_numbers

ON_CHIP = 10_240
"""Greatest number of padded weights of a member that the kernel trains. With moments they take 120 KB, so the
second-level cache of an H100 (50 MB) holds the three members that each of its 132 multiprocessors computes at a time.
Two hidden layers of 64 units and 10 classes have 9,216."""
WIDEST, WIDEST_BATCH, DEEPEST = 64, 128, 4


def power_of_two(size: int) -> int:
    """Find the least power of two that is at least `size` and at least 16."""
    return max(16, 1 << (size - 1).bit_length())


def is_covered(hp: Hyperparameters, n_inputs: int, n_outputs: int) -> bool:
    """Tell whether the kernel can train such a network: small, and without what needs all weights at once."""
    has_more = hp.norm != "none" or hp.input_dropout or hp.l1 or hp.clip_norm or hp.ema_decay or hp.has_stage
    has_more = has_more or hp.parametrization != "standard" or hp.activation_trained != "none" or hp.skip != "none"
    has_more = has_more or "fused" not in UNITS[hp.units].backends
    is_known = all(name in ACTIVATION_NAMES for name in hp.activation) and hp.family in FAMILY_NAMES
    is_known = is_known and (hp.loss is None or hp.loss in LOSS_NAMES)
    is_small = max(hp.hidden, default=0) <= WIDEST and hp.batch_size <= WIDEST_BATCH and len(hp.hidden) <= DEEPEST
    has_factors = {hp.first_layer_lr_factor, hp.output_lr_factor, hp.bias_lr_factor, hp.bias_decay_factor} != {1.0}
    is_steady = {hp.dropout_schedule, hp.decay_schedule} == {"constant"} and hp.decay_towards == "zero"
    has_more = bool(has_more or has_factors or not is_steady or hp.swa_start or hp.gradient_noise)
    is_plain = is_known and not has_more and hp.class_weight == "none"
    is_plain = is_plain and (not hp.smoothing or hp.label_smoothing_to == "uniform")
    return is_plain and is_small and n_weights(hp, n_inputs, n_outputs) <= ON_CHIP


def n_weights(hp: Hyperparameters, n_inputs: int, n_outputs: int) -> int:
    """Count the weights of a member, padded as in the kernel."""
    inputs, outputs = power_of_two(padded(n_inputs)), power_of_two(n_outputs)
    if not hp.hidden:
        return inputs * outputs
    units = power_of_two(max(hp.hidden))
    return units * (inputs + (len(hp.hidden) - 1) * units + outputs)


class MemberTables:
    """The members of a layout as tables that the kernel reads; `is_covered` holds for each member.

    Attributes:
        whole: (members, numbers) int64: data group, stream, rule and loss, and for each layer the offsets of its
            weights and biases in the stacks' buffers, its units, the length of a row, activation and noise threshold.
        real: (members, numbers): the numbers of the rule and of the loss, and for each hidden layer the factor on kept
            units.
        betas: (2, members) float64: beta1 and beta2 of Adam; 0 for other rules.

    Args:
        layout: the members.
        parameters: their weights; the stacks of the moments have the same offsets.
        streams: the pack's streams, in the order of the noise keys.
        task: `classification` or `regression`.
    """

    def __init__(self, layout: Layout, parameters: Stack, streams: Sequence[Stream], task: Task) -> None:
        buffer = parameters.buffer
        index = {stream: i for i, stream in enumerate(streams)}
        whole, real = [], []
        for i, slot in enumerate(layout.slots):
            hp = slot.hp
            rule, loss = FAMILY_NAMES.index(hp.family), LOSS_NAMES.index(hp.loss_for(task))
            of_member = {"group": slot.group, "stream": index[slot.stream], "rule": rule, "loss": loss}
            of_layers = self._layers(layout, parameters, i, slot)
            whole.append([*(of_member[name] for name in MEMBER_COLUMNS), *of_layers])
            scales = [1 / (1 - rate) for rate in hp.dropout]
            padding = [0.0] * (layout.depth - slot.depth)
            of_loss = _rule(hp) | {"smoothing": hp.smoothing, "number": hp.loss_number}
            real.append([*(of_loss[name] for name in REAL_COLUMNS), *scales, *padding])
        self.whole = torch.tensor(whole, dtype=torch.int64, device=buffer.device)
        self.real = torch.tensor(real, dtype=buffer.dtype, device=buffer.device)
        betas = [_betas(slot.hp) for slot in layout.slots]
        self.betas = torch.tensor(betas, dtype=torch.float64, device=buffer.device).t().contiguous()

    @staticmethod
    def _layers(layout: Layout, parameters: Stack, member: int, slot: Slot) -> list[int]:
        hp, sizes = slot.hp, slot.sizes(layout.n_outputs)
        numbers = [[0] * len(LAYER_COLUMNS) for _ in range(layout.depth + 1)]
        for i, block in enumerate(layout.blocks):
            if block.run.holds(member):
                row = member - block.run.start
                at = {name: int(parameters.of(i, name)[row].storage_offset()) for name in ("weight", "bias")}
                own = {**at, "own_units": sizes[block.layer + 1], "row": block.n_in, "activation": 0, "dropped": 0}
                if not block.is_output:
                    own["activation"] = ACTIVATION_NAMES.index(hp.activation[block.layer])
                    own["dropped"] = threshold(hp.dropout[block.layer])
                numbers[block.layer] = [own[name] for name in LAYER_COLUMNS]
        return [n for layer in numbers for n in layer]


def _betas(hp: Hyperparameters) -> tuple[float, float]:
    return (hp.beta1, hp.beta2) if FAMILIES[hp.family].uses_betas else (0.0, 0.0)


def _rule(hp: Hyperparameters) -> dict[str, float]:
    return update_numbers(hp)._asdict() | {"new1": 1 - hp.beta1, "new2": 1 - hp.beta2}
