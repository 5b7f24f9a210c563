"""The layout of a pack: the order of its members, and the padded sizes of their layers.

Members are sorted so that those with the same choice (optimizer family, activation) or data are adjacent; a choice is
then applied to a contiguous run of the stack. Deeper members come first, so that the members with a layer l are a
prefix of the stack.

Padding does not change a result. In float32 this holds for two reasons, measured on x86-64 with PyTorch's MKL build:
sizes that are multiples of 16 do not reach the remainder code of a kernel, and a product over at most 192 terms is
summed in one sweep, so that trailing zeros change nothing. Beyond 192 terms the library splits the sum at places that
depend on its length; such layers are padded depending only on their own width, and members share a pack only if these
padded widths are equal (`size_class`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TypeVar

from foldstep.models.catalog.optimizers import FAMILIES
from foldstep.models.columns import InputColumns
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage
from foldstep.models.streams import Stream

QUANTUM = 16
ONE_SWEEP = 192
_WIDE_QUANTUM = 64

K = TypeVar("K")


def padded(size: int) -> int:
    """Compute the least padded size of a layer with `size` units; it depends on nothing else."""
    quantum = QUANTUM if size <= ONE_SWEEP else _WIDE_QUANTUM
    return max(-(-size // quantum) * quantum, QUANTUM)


def size_class(size: int) -> int:
    """Compute what layers of one pack must agree in: 0 if the layer may be padded freely, else its padded size."""
    return 0 if size <= ONE_SWEEP else padded(size)


@dataclass(frozen=True)
class Slot:
    """One member of a layout: its network, and the data and noise that it reads.

    Attributes:
        key: identifies the member: (trial, fold).
        hp: its hyperparameters.
        group: index of the data group (preprocessed data) that it reads.
        stream: its data order and noise.
        columns: the columns of that data.
        stage: what is between the inputs and the first layer; None for nothing.
    """

    key: tuple[int, int]
    hp: Hyperparameters
    group: int
    stream: Stream
    columns: InputColumns
    stage: InputStage | None = None

    @property
    def n_inputs(self) -> int:
        """Input units without padding."""
        return self.columns.n_inputs

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.hp.hidden)

    def sizes(self, n_outputs: int) -> tuple[int, ...]:
        """List the units of every layer, from what the first layer reads to the output, without padding."""
        return (self.n_inputs if self.stage is None else self.stage.n_units, *self.hp.hidden, n_outputs)


@dataclass(frozen=True)
class Run:
    """A contiguous run of members, from `start` (included) to `stop` (excluded)."""

    start: int
    stop: int

    @property
    def members(self) -> slice:
        """The run as a slice of the member axis."""
        return slice(self.start, self.stop)

    @property
    def length(self) -> int:
        """Number of members."""
        return self.stop - self.start

    def holds(self, member: int) -> bool:
        """Tell whether the run contains a member, given by its index."""
        return self.start <= member < self.stop


@dataclass(frozen=True)
class Block:
    """The stacked weights of one layer for a run of members.

    Attributes:
        layer: 0 for the first layer of the network.
        run: the members that have this layer.
        n_out: padded units.
        n_in: padded inputs.
        is_output: whether it is the network's output layer.
        stage: the input stage of these members, if the block holds its numbers; they belong to layer 0.
    """

    layer: int
    run: Run
    n_out: int
    n_in: int
    is_output: bool
    stage: InputStage | None = None

    @property
    def is_hidden(self) -> bool:
        """Whether it is a hidden layer."""
        return not self.is_output and self.stage is None


def _stage_block(stage: InputStage, run: Run) -> Block:
    return Block(0, run, len(stage.embedded) * stage.n_linear, stage.n_features, is_output=False, stage=stage)


def _order(slot: Slot) -> tuple[object, ...]:
    hp = slot.hp
    update = (hp.family, hp.beta1, hp.beta2, hp.eps) if FAMILIES[hp.family].uses_betas else (hp.family, 0.0, 0.0, 0.0)
    units = (hp.units, hp.norm, hp.norm_momentum, hp.activation, hp.activation_trained)
    shared = (update, *units, hp.loss or "", hp.input_dropout > 0)
    stage = () if slot.stage is None else slot.stage.order
    return (-slot.depth, *shared, stage, slot.group, slot.stream, slot.key)


class Layout:
    """The members of a pack in their order, their blocks of weights, and runs of members with a common property.

    Args:
        slots: the members, in any order.
        n_outputs: output units without padding.
    """

    def __init__(self, slots: Sequence[Slot], n_outputs: int) -> None:
        self.slots = sorted(slots, key=_order)
        self.n_outputs = n_outputs
        self.n_outputs_padded = padded(n_outputs)
        self.n_inputs_padded = max(padded(s.n_inputs) for s in self.slots)
        self.n_first_padded = max(padded(s.sizes(n_outputs)[0]) for s in self.slots)

    def __len__(self) -> int:
        return len(self.slots)

    @cached_property
    def depth(self) -> int:
        """Hidden layers of the deepest member."""
        return self.slots[0].depth

    @cached_property
    def active(self) -> list[int]:
        """For each hidden layer, the number of members that have it; they are the first of the stack."""
        return [sum(s.depth > layer for s in self.slots) for layer in range(self.depth)]

    @cached_property
    def widths(self) -> list[int]:
        """Padded width of each hidden layer."""
        return [max(padded(s.hp.hidden[layer]) for s in self.slots if s.depth > layer) for layer in range(self.depth)]

    @cached_property
    def depth_runs(self) -> list[tuple[int, Run]]:
        """Runs of members with the same depth, deepest first."""
        return self.runs(lambda s: s.depth)

    @cached_property
    def input_runs(self) -> list[tuple[tuple[int, bool, InputStage | None], Run]]:
        """Runs of members with the same data and input stage that all have input dropout, or all have none."""
        return self.runs(lambda s: (s.group, s.hp.input_dropout > 0, s.stage))

    @cached_property
    def group_runs(self) -> list[tuple[int, Run]]:
        """Runs of members that read the same data."""
        return self.runs(lambda s: s.group)

    @cached_property
    def blocks(self) -> list[Block]:
        """All weights: the hidden layers, the output layers, deepest members first, then the input stages."""
        sizes = [self.n_first_padded, *self.widths]
        hidden = [Block(i, Run(0, self.active[i]), sizes[i + 1], sizes[i], False) for i in range(self.depth)]
        output = [Block(d, run, self.n_outputs_padded, sizes[d], True) for d, run in self.depth_runs]
        return hidden + output + [_stage_block(stage, run) for (_, _, stage), run in self.input_runs if stage]

    def runs(self, value: Callable[[Slot], K], stop: int | None = None) -> list[tuple[K, Run]]:
        """List the maximal contiguous runs of members with equal `value`, among the first `stop` (None for all)."""
        found: list[tuple[K, Run]] = []
        start = 0
        for shared, members in groupby(self.slots[:stop], key=value):
            end = start + sum(1 for _ in members)
            found.append((shared, Run(start, end)))
            start = end
        return found
