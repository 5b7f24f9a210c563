"""Compare the numbers of a fast way to take steps with those of the plain way, before the fast way is used.

A way is one implementation of the training step; the plain way is the eager backend. The plain way trains an epoch, the
state before the epoch is restored, and the fast way trains it again. Each member's weights, moments and loss may then
differ only by rounding. Without the comparison a wrong kernel could be chosen because it is fast.

The tolerance has three parts. A number that is stored after every step has an error of half a unit in the last place
each time; these errors grow like a random walk over the steps (`_STORED`). The factors of products are rounded
(`rounding_of`), so the sum of the updates has about that relative error, in any order of summation (`_MULTIPLIED`).

Some members amplify rounding errors: a training that is about to diverge, or Adam with a gradient close to zero. If a
difference exceeds the first two parts, the plain way trains the epoch once more from weights that are changed by one
rounding error. The resulting change measures the amplification and increases the tolerance (`_AMPLIFIED`). A member
that diverges in the plain way must also diverge in the fast way; its weights and moments are then not compared.
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
"""Tolerance for stored numbers: units in the last place, times the square root of the number of steps."""
_MULTIPLIED = 32.0
"""Tolerance in multiples of `rounding_of`, relative to the epoch's change: every layer rounds, and rules divide."""
_AMPLIFIED = 16.0
"""Tolerance in multiples of the change that one rounding of the weights causes: all steps round, not only the first."""
_FACTOR_BITS = {"float32": 20, "tf32": 10, "bfloat16": 10}
"""Least number of binary digits of the factors in float32 products, by the hyperparameter `precision`. Three products
on tensor cores for each one (3xTF32) keep about 21; for bfloat16, GPUs round to tf32."""
_CONSTANT_BITS = 26
"""The same for float64, which only tests use: Triton turns literal constants in a kernel into float32."""


def rounding_of(dtype: torch.dtype, precision: str) -> float:
    """Compute the relative rounding error of a product's factors.

    Args:
        dtype: type of the numbers.
        precision: the hyperparameter; ignored for float64, which is never rounded.
    """
    return 2.0 ** -(_FACTOR_BITS[precision] if dtype == torch.float32 else _CONSTANT_BITS)


def kinds_of(layout: Layout) -> frozenset[tuple[str, object]]:
    """List the properties of members that decide which code trains them: depth, choices, and which numbers are 0.

    A way that is right for members with some of these properties may be wrong for others.
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
    """The difference between two ways that exceeds its tolerance the most.

    Attributes:
        member: (trial, fold).
        part: name of the member's tensor that differs.
        distance: norm of the difference, as a share of the norm of the plain way's numbers.
        allowed: the tolerance for rounding errors, as such a share.
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
    """The outcome of an epoch that was trained in both ways.

    Attributes:
        losses: each member's sum of losses over the steps, (members,), by the way whose numbers were kept.
        difference: the difference, if the plain way's numbers were kept; None if the ways agree and the fast way's
            numbers were kept.
    """

    losses: Tensor
    difference: Difference | None


@dataclass(frozen=True)
class _Row:
    """One tensor of the pack, (members of a run, ...), that an epoch changes.

    Attributes:
        origin: for weights and their averages, the index of the row of the weights before the epoch; None for moments
            and losses.
    """

    name: str
    run: Run
    values: Tensor
    origin: int | None = None


@dataclass(frozen=True)
class _Numbers:
    """A copy of all tensors that an epoch changes, and of its losses."""

    rows: list[Tensor]
    losses: Tensor
    step_count: Tensor


class Comparison:
    """The comparison of two ways to train epochs of a pack; it needs up to four copies of the pack on the device.

    Args:
        plain: the way that is right by definition.
        net: the pack's network.
        optimizer: its optimizer.
        average: the running average of its weights; None if no member has one.
    """

    def __init__(self, plain: Steps, net: PackedFNN, optimizer: PackedOptimizer, average: WeightAverage | None) -> None:
        self._plain, self._optimizer, self._layout, self._dtype = plain, optimizer, net.layout, net.dtype
        self._factor = rounding_of(net.dtype, net.layout.slots[0].hp.precision)  # of all members: see `shape_key`
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
        """Take steps of an epoch in both ways, and keep the fast way's numbers if they are right, else the plain way's.

        If the fast way is right, the first pack of a shape, which is compared, so gets the same bits as later packs,
        which are not. An error of the fast way is raised again, after the state before the steps is restored.
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
        """Measure how much the result of the plain way changes if the weights are changed by one rounding error.

        Returns:
            For each row and, as the last entry, for the losses: each member's distance, (members of the run,).
        """
        moves = []
        for row in self._parameters:
            signs = 1 - 2 * (torch.arange(row.values.shape[1], device=row.values.device) % 2)  # alternately up and down
            moves.append(self._factor * row.values * signs)
            row.values.add_(moves[-1])
        led = self._copy(self._plain.run(batches, steps, before))
        for values, move in zip(led.rows, moves, strict=False):
            values.sub_(move)
        return [_distance(a, b) for a, b in zip([*led.rows, led.losses], [*right.rows, right.losses], strict=True)]

    def _largest(
        self, start: _Numbers, right: _Numbers, found: _Numbers, n_steps: int, amplified: Sequence[Tensor]
    ) -> Difference | None:
        """Find the difference that exceeds its tolerance the most; return None if none does.

        Args:
            start: the numbers before the steps.
            right: the numbers after them, by the plain way.
            found: the numbers after them, by the fast way.
            n_steps: number of steps.
            amplified: the result of `_amplified`, or empty.
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
        """Find a row's member with the greatest ratio of distance to tolerance; return the ratio and difference."""
        excess = torch.where(distance == 0, 0, distance / allowed).nan_to_num(nan=0.0, posinf=math.inf)
        at = int(excess.argmax())
        member = self._layout.slots[row.run.start + at].key
        return float(excess[at]), Difference(
            member, row.name, float(distance[at] / size[at]), float(allowed[at] / size[at])
        )


def _length(values: Tensor) -> Tensor:
    """Compute the norm of each member's finite numbers, (members,) float64."""
    flat = values.reshape(len(values), -1).double().nan_to_num(0.0, 0.0, 0.0)
    length: Tensor = torch.linalg.vector_norm(flat, dim=1)
    return length


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Compute the norm of each member's difference, (members,) float64; infinite where only one number is finite."""
    one, other = (values.reshape(len(values), -1).double() for values in (one, other))
    is_apart = (one.isfinite() != other.isfinite()).any(dim=1)
    return torch.where(is_apart, math.inf, _length(one - other))
