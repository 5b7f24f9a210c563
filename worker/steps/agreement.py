"""Compares a fast way to take steps with the plain one, in values: a wrong kernel would win by being fast.

The plain way takes an epoch, all that it changed is put back, and the fast way takes it again. What both made of each
member's weights, moments and loss may differ by rounding alone.

How far rounding goes: a number that is stored after every step is off by half a unit in the last place each time, which
adds up like a random walk over the steps (`_STORED`). The factors of products are rounded (`rounding_of`), so what a
gradient adds is off by about as much, relatively, however the sums are ordered (`_MULTIPLIED`).

Some members amplify rounding: a training that is about to diverge, or Adam where a gradient is next to nothing. Where a
difference is larger than the first two allow, the plain way takes the epoch once more from weights that are moved by a
rounding. How far that leads is how far the member amplifies, and it may differ by so much more (`_AMPLIFIED`). A member
that diverges in the plain way has to diverge in the fast way; its numbers are nobody's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foldstep.models.eager.averaging import WeightAverage
from foldstep.models.eager.optim import PackedOptimizer
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.layout import Layout, Run
from foldstep.models.stack import Stack
from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.steps.protocol import FastSteps, Steps

_STORED = 4.0
"""Units in the last place of a number that is stored, times the root of the steps."""
_MULTIPLIED = 32.0
"""Roundings of a factor, of what an epoch adds to a number: rounding in every layer, and a rule that divides."""
_AMPLIFIED = 16.0
"""Times what one rounding of the weights leads to: every step rounds, not the first one alone."""
_FACTOR_BITS = {"float32": 20, "tf32": 10, "bfloat16": 10}
"""Binary digits that the factors of float32 products keep at least: three products of tensor cores for each one keep
about 21; and GPUs round for bfloat16 as for tf32."""
_CONSTANT_BITS = 26
"""The same in float64, which only tests train in: what Triton makes of a number in a program's text is a float32."""


def rounding_of(dtype: torch.dtype, precision: str) -> float:
    """Give the relative rounding of a product's factors.

    Args:
        dtype: of the numbers.
        precision: the hyperparameter; float64 is never rounded.
    """
    return 2.0 ** -(_FACTOR_BITS[precision] if dtype == torch.float32 else _CONSTANT_BITS)


def kinds_of(layout: Layout) -> frozenset[tuple[str, object]]:
    """List what decides which code trains the members of a pack: each choice, and of each number whether it is zero.

    A way that agreed for one kind of member need not be right for another.
    """
    found: set[tuple[str, object]] = set()
    for slot in layout.slots:
        found.add(("depth", slot.depth))
        for name, value in vars(slot.hp).items():
            several = value if isinstance(value, tuple) else (value,)
            found |= {(name, v if isinstance(v, str) else bool(v)) for v in several}
    return frozenset(found)


@dataclass(frozen=True)
class Difference:
    """The largest difference between two ways, and whether rounding explains it.

    Attributes:
        member: (trial, fold).
        part: of what is the member's.
        distance: length of the difference, as a share of the length of the right numbers.
        allowed: what rounding explains of it.
    """

    member: tuple[int, int]
    part: str
    distance: float
    allowed: float

    def __str__(self) -> str:
        return (
            f"of trial {self.member[0]}, fold {self.member[1]}, the {self.part} differs by {self.distance:.2g} of its "
            f"size, of which rounding explains {self.allowed:.2g}"
        )


@dataclass(frozen=True)
class Compared:
    """The outcome of an epoch that both ways took.

    Attributes:
        losses: each member's sum over the steps, (members,), of the way whose numbers stand.
        difference: where the ways disagree; None where they agree, and the fast way's numbers stand.
    """

    losses: Tensor
    difference: Difference | None


@dataclass(frozen=True)
class _Row:
    """One tensor of the pack, (members of a run, ...), that an epoch changes.

    Attributes:
        origin: for weights and their averages, which row held the weights before; None for what gradients add up to.
    """

    name: str
    run: Run
    values: Tensor
    origin: int | None = None


@dataclass(frozen=True)
class _Numbers:
    """A copy of all that an epoch changes, and of the losses that it found."""

    rows: list[Tensor]
    losses: Tensor
    step_count: Tensor


class Comparison:
    """Takes epochs of one pack in two ways and compares them; the device holds up to four copies of the pack meanwhile.

    Args:
        plain: the way that is right.
        net: the pack's network.
        optimizer: its optimizer.
        average: the running average of its weights, where there is one.
    """

    def __init__(self, plain: Steps, net: PackedFNN, optimizer: PackedOptimizer, average: WeightAverage | None) -> None:
        self._plain, self._optimizer, self._layout, self._dtype = plain, optimizer, net.layout, net.dtype
        self._factor = rounding_of(net.dtype, net.layout.slots[0].hp.precision)  # of all: see `shape_key`
        self._parameters = self._rows_of("parameter", net.parameters)
        averages = [] if average is None else self._rows_of("running average", average.weights)
        of_rules = enumerate(optimizer.member_rows())
        memory = [_Row(f"number {i} of the optimizer", rows.run, rows.values) for i, rows in of_rules]
        self._rows = [*self._parameters, *averages, *memory]

    def _rows_of(self, what: str, stack: Stack) -> list[_Row]:
        blocks = self._layout.blocks
        return [
            _Row(f"{what} `{p.name}` of layer {blocks[p.block].layer + 1}", blocks[p.block].run, p.flat, i)
            for i, p in enumerate(stack.parts)
        ]

    def run(self, fast: FastSteps, batches: EpochBatches, steps: range, before: int) -> Compared:
        """Take some steps of an epoch both ways; the fast way's numbers stand if they are right, else the plain one's.

        Nothing that stood would differ had the fast way been trusted from the start, so the first pack of a shape has
        the bits of the later ones. What the fast way raises passes through; then all is as before the steps.
        """
        start = self._copy(torch.zeros(len(self._layout), device=self._optimizer.step_count.device))
        right = self._copy(self._plain.run(batches, steps, before))
        self._put(start)
        try:
            found = self._copy(fast.run(batches, steps, before))
        except BaseException:
            self._put(start)
            raise
        difference = self._largest(start, right, found, len(steps), [])
        if difference is not None:
            self._put(start)
            amplified = self._amplified(right, batches, steps, before)
            difference = self._largest(start, right, found, len(steps), amplified)
            self._put(right if difference is not None else found)
        return Compared(found.losses if difference is None else right.losses, difference)

    def _copy(self, losses: Tensor) -> _Numbers:
        step_count = self._optimizer.step_count.clone()
        return _Numbers([row.values.clone() for row in self._rows], losses.clone(), step_count)

    def _put(self, numbers: _Numbers) -> None:
        for row, values in zip(self._rows, numbers.rows, strict=True):
            row.values.copy_(values)
        self._optimizer.step_count.copy_(numbers.step_count)

    def _amplified(self, right: _Numbers, batches: EpochBatches, steps: range, before: int) -> list[Tensor]:
        """Measure how far the plain way is led elsewhere by weights that are moved by a rounding of their own size.

        Returns:
            For each row and, last, the losses: each member's distance, (members of the run,).
        """
        moves = []
        for row in self._parameters:
            signs = 1 - 2 * (torch.arange(row.values.shape[1], device=row.values.device) % 2)  # up and down in turn
            moves.append(self._factor * row.values * signs)
            row.values.add_(moves[-1])
        led = self._copy(self._plain.run(batches, steps, before))
        for values, move in zip(led.rows, moves, strict=False):
            values.sub_(move)
        return [_distance(a, b) for a, b in zip([*led.rows, led.losses], [*right.rows, right.losses], strict=True)]

    def _largest(
        self, start: _Numbers, right: _Numbers, found: _Numbers, n_steps: int, amplified: Sequence[Tensor]
    ) -> Difference | None:
        """Find the difference that is the farthest beyond what rounding explains; None where it explains all.

        Args:
            start: before the steps.
            right: after them, by the plain way.
            found: after them, by the fast way.
            n_steps: how many they are.
            amplified: what `_amplified` found, or nothing.
        """
        if not torch.equal(right.step_count, found.step_count):
            return Difference(self._layout.slots[0].key, "count of steps", math.inf, 0.0)
        stored = _STORED * torch.finfo(self._dtype).eps * math.sqrt(n_steps)
        is_alive = right.losses.isfinite()
        seen = []
        for i, row in enumerate([*self._rows, _Row("loss", Run(0, len(self._layout)), right.losses)]):
            its, own = (n.losses if i == len(self._rows) else n.rows[i] for n in (right, found))
            size = _length(its)
            allowed = stored * size + _MULTIPLIED * self._factor * (
                size if row.origin is None else _distance(its, start.rows[row.origin])
            )
            if amplified:
                allowed += _AMPLIFIED * amplified[i]
            distance = _distance(its, own)
            if row.name != "loss":
                distance = torch.where(is_alive[row.run.members], distance, 0)
            seen.append(self._farthest(row, size, distance, allowed))
        excess, difference = max(seen, key=lambda one: one[0])
        return difference if excess > 1 else None

    def _farthest(self, row: _Row, size: Tensor, distance: Tensor, allowed: Tensor) -> tuple[float, Difference]:
        """Give how many times what is allowed a row's farthest member is off, and the difference."""
        excess = torch.where(distance == 0, 0, distance / allowed).nan_to_num(nan=0.0, posinf=math.inf)
        at = int(excess.argmax())
        member = self._layout.slots[row.run.start + at].key
        return float(excess[at]), Difference(
            member, row.name, float(distance[at] / size[at]), float(allowed[at] / size[at])
        )


def _length(values: Tensor) -> Tensor:
    """Give the length of each member's finite numbers, (members,) float64."""
    flat = values.reshape(len(values), -1).double().nan_to_num(0.0, 0.0, 0.0)
    length: Tensor = torch.linalg.vector_norm(flat, dim=1)
    return length


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Give the length of each member's difference, (members,) float64; infinite where just one has a finite number."""
    one, other = (values.reshape(len(values), -1).double() for values in (one, other))
    is_apart = (one.isfinite() != other.isfinite()).any(dim=1)
    return torch.where(is_apart, math.inf, _length(one - other))
