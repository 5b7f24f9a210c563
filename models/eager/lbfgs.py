"""Limited-memory BFGS for the members of a pack, one evaluation of the loss a step (Liu and Nocedal 1989).

The direction is that of the two-loop recursion (Nocedal and Wright 2006, algorithm 7.4) over the last `MEMORY` pairs of
steps and changes of the gradient; the first step has length min(1, 1 / |g|_1) * lr along the negative gradient, later
ones length lr along the direction, as in PyTorch's `LBFGS` with `max_iter=1`. Two safeguards are added. A step that
does not reduce the loss enough (Armijo's condition, in the book 3.4) is undone by the next step, which tries a shorter
length along the same direction (safeguarded quadratic interpolation, section 3.5); so every step is one evaluation, and
members stay in lockstep. A direction that is not a descent direction is replaced by the negative gradient, and the
pairs are discarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.optimizers import FAMILIES
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.eager.segments import Pace
from foldstep.models.eager.sums import MemberSums
from foldstep.models.layout import Block, Run
from foldstep.models.stack import STATISTICS, MemberRows, is_matrix, is_own, own_shape
from foldstep.models.updates import part_factors
from foldstep.models.weights import Weights

MEMORY = FAMILIES["lbfgs"].history
LEAST_CURVATURE = 1e-10
"""Pairs whose inner product is not above this are not stored; PyTorch's value."""
ARMIJO = 1e-4
MAX_RETREATS = 10
"""After so many shortened steps in a row the pairs are discarded."""
SHORTEST, LONGEST = 0.1, 0.5
"""Bounds of a shortened step's length, as shares of the length before."""


@dataclass
class _Piece:
    """One part of the stacks for one run of members.

    All tensors are (members, out, in); `steps` and `changes`, the stored pairs, are (MEMORY, members, out, in);
    `decay`, the part's factors on the weight decay, is (members, 1, 1).
    """

    block: Block
    name: str
    run: Run
    decay: Tensor
    parameters: Tensor
    gradients: Tensor
    point: Tensor
    gradient: Tensor
    direction: Tensor
    steps: Tensor
    changes: Tensor

    def numbers(self) -> dict[str, Tensor]:
        """List the tensors that belong to a member's snapshot, by name."""
        histories = {
            f"lbfgs_{kind}{i}": h[i]
            for kind, h in (("step", self.steps), ("change", self.changes))
            for i in range(MEMORY)
        }
        return {f"lbfgs_{n}": getattr(self, n) for n in ("point", "gradient", "direction")} | histories


class _Scalars(NamedTuple):
    """Numbers of each member, (members,): of its last accepted point, and of the step that it tries from there."""

    loss: Tensor
    slope: Tensor
    length: Tensor
    scale: Tensor
    retreats: Tensor
    curvatures: Tensor  # (MEMORY, members): 1 / (change * step), 0 for an empty place


class PackedLBFGS:
    """The update of those members of a network whose optimizer is lbfgs."""

    def __init__(self, net: PackedFNN) -> None:
        self._net = net
        self._sums = MemberSums(net.dtype, net.device)
        self._pieces = list(_pieces(net))
        n = len(net.layout)
        zeros = partial(torch.zeros, dtype=net.dtype, device=net.device)
        self._state = _Scalars(zeros(n), zeros(n), zeros(n), zeros(n), zeros(n), zeros(MEMORY, n))
        self._state.scale.fill_(1)
        self._state.loss.fill_(torch.inf)  # any first point is accepted
        numbers = [[s.hp.weight_decay / 2, s.hp.l1] for s in net.layout.slots]
        self._penalties = torch.tensor(numbers, dtype=net.dtype, device=net.device).t()
        self._is_penalised = bool((self._penalties != 0).any())

    def step(self, pace: Pace, _steps: Tensor, losses: Tensor) -> None:
        """Take one step of every lbfgs member.

        Args:
            pace: the learning rates; `decays` is not used.
            _steps: not used.
            losses: (members,), at the present parameters, without penalties.
        """
        if self._is_penalised:
            losses = self._penalised(losses)
        state = self._state
        # rounding errors must not count as an increase
        slack = 10 * torch.finfo(losses.dtype).eps * state.loss.abs()
        is_enough = losses <= state.loss + ARMIJO * state.length * state.slope + slack
        is_stuck = state.retreats >= MAX_RETREATS
        self._retreat(losses, ~(is_enough | is_stuck))
        self._advance(losses, pace.rates.squeeze(1), is_enough | is_stuck, is_stuck)

    def _penalised(self, losses: Tensor) -> Tensor:
        """Add both penalties to the losses, and the gradient of L2 to the gradients, which already have that of L1."""
        squares, absolutes = (torch.zeros_like(losses) for _ in range(2))
        for p in self._pieces:
            squares[p.run.members] += self._sums(p.parameters.square()) * p.decay[:, 0, 0]
            absolutes[p.run.members] += self._sums(p.parameters.abs())
            p.gradients.addcmul_(p.parameters, _rows(self._penalties[0], p) * p.decay, value=2)
        return losses + self._penalties[0] * squares + self._penalties[1] * absolutes

    def _retreat(self, losses: Tensor, who: Tensor) -> None:
        """Shorten the step from the last point to the minimum of the parabola through both losses and the slope."""
        state = self._state
        rise = losses - state.loss - state.slope * state.length
        best = -state.slope * state.length.square() / (2 * rise)
        shorter = torch.minimum(torch.maximum(best, SHORTEST * state.length), LONGEST * state.length)
        shorter = torch.where(shorter.isfinite(), shorter, SHORTEST * state.length)
        torch.where(who, shorter, state.length, out=state.length)
        state.retreats.add_(who.to(state.retreats.dtype))
        for p in self._pieces:
            length = _rows(state.length, p)
            torch.where(_rows(who, p), p.point + length * p.direction, p.parameters, out=p.parameters)

    def _advance(self, losses: Tensor, rates: Tensor, who: Tensor, is_stuck: Tensor) -> None:
        """Accept the present point, store the pair of its step, and take a step from it, for the members `who`."""
        state = self._state
        self._remember(who & state.loss.isfinite())
        self._forget(who & is_stuck)
        directions = self._directions()
        slope = self._dot((p.gradients, d) for p, d in zip(self._pieces, directions, strict=True))
        is_up = ~(slope < 0)
        self._forget(who & is_up)
        steepest = self._dot((p.gradients, -p.gradients) for p in self._pieces)
        slope = torch.where(is_up, steepest, slope)
        is_fresh = (state.curvatures != 0).sum(dim=0) == 0
        absolute = self._dot((p.gradients.abs(), None) for p in self._pieces)
        length = torch.where(is_fresh, (1 / absolute).clamp(max=1.0) * rates, rates)
        for old, new in ((state.loss, losses), (state.slope, slope), (state.length, length)):
            torch.where(who, new, old, out=old)
        state.retreats.mul_(~who)
        for p, direction in zip(self._pieces, directions, strict=True):
            rows = _rows(who, p)
            direction = torch.where(_rows(is_up, p), -p.gradients, direction)
            for old, new in ((p.point, p.parameters), (p.gradient, p.gradients), (p.direction, direction)):
                torch.where(rows, new, old, out=old)
            torch.where(rows, p.point + _rows(length, p) * direction, p.parameters, out=p.parameters)

    def _remember(self, who: Tensor) -> None:
        """Store the pair of the accepted step in place of the oldest one, for the members `who`."""
        state = self._state
        steps = [_rows(state.length, p) * p.direction for p in self._pieces]
        changes = [p.gradients - p.gradient for p in self._pieces]
        product = self._dot(zip(changes, steps, strict=True))
        who = who & (product > LEAST_CURVATURE)
        squares = self._dot((c, c) for c in changes)
        torch.where(who, product / squares, state.scale, out=state.scale)
        newest = torch.cat([state.curvatures[1:], (1 / product).unsqueeze(0)])
        torch.where(who, newest, state.curvatures, out=state.curvatures)
        for p, step, change in zip(self._pieces, steps, changes, strict=True):
            for history, new in ((p.steps, step), (p.changes, change)):
                shifted = torch.cat([history[1:], new.unsqueeze(0)])
                torch.where(_rows(who, p), shifted, history, out=history)

    def _forget(self, who: Tensor) -> None:
        self._state.curvatures.mul_(~who)
        self._state.scale.masked_fill_(who, 1.0)

    def _directions(self) -> list[Tensor]:
        """Compute the directions by the two-loop recursion; empty places, of curvature 0, have no effect."""
        state, pieces = self._state, self._pieces
        q = [-p.gradients for p in pieces]
        shares: list[Tensor] = []
        for i in reversed(range(MEMORY)):
            share = self._dot((p.steps[i], d) for p, d in zip(pieces, q, strict=True)) * state.curvatures[i]
            shares.insert(0, share)
            for p, d in zip(pieces, q, strict=True):
                d.addcmul_(p.changes[i], _rows(share, p), value=-1)
        for p, d in zip(pieces, q, strict=True):
            d.mul_(_rows(state.scale, p))
        for i in range(MEMORY):
            back = self._dot((p.changes[i], d) for p, d in zip(pieces, q, strict=True)) * state.curvatures[i]
            for p, d in zip(pieces, q, strict=True):
                d.addcmul_(p.steps[i], _rows(shares[i] - back, p))
        return q

    def _dot(self, pairs: Iterable[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Compute inner products over all parameters of each member, (members,); with None the sum of the first."""
        total = torch.zeros_like(self._state.loss)
        for p, (a, b) in zip(self._pieces, pairs, strict=True):
            total[p.run.members] += self._sums(a if b is None else a * b)
        return total

    # -- members in and out -------------------------------------------------------------------------------

    def member_rows(self) -> list[MemberRows]:
        """List all tensors that `step` changes, except the parameters."""
        everyone = Run(0, len(self._net.layout))
        rows = [MemberRows(everyone, s) for s in (*self._state[:-1], self._state.curvatures.t())]
        for p in self._pieces:
            state = (p.point, p.gradient, p.direction, p.steps.transpose(0, 1), p.changes.transpose(0, 1))
            rows += [MemberRows(p.run, tensor) for tensor in state]
        return rows

    def put(self, member: int, parts: Mapping[str, Weights]) -> None:
        """Write a member's state, as `take` returned it."""
        for p, name, view in self._views(member):
            view.copy_(torch.from_numpy(parts[name][p.block.layer][p.name]).view_as(view))
        numbers = torch.from_numpy(parts["lbfgs_numbers"][0]["numbers"])
        for i, scalar in enumerate(self._state[:-1]):
            scalar[member] = numbers[i]
        self._state.curvatures[:, member] = numbers[len(self._state) - 1 :].to(self._net.device)

    def take(self, member: int) -> dict[str, Weights]:
        """Read the optimizer state of a member for its snapshot, without padding; empty for other optimizers."""
        slot = self._net.layout.slots[member]
        if slot.hp.family != "lbfgs":
            return {}
        parts: dict[str, Weights] = {}
        for p, name, view in self._views(member):
            layers = parts.setdefault(name, [{} for _ in range(slot.depth + 1)])
            values = view.cpu().numpy().copy()
            layers[p.block.layer][p.name] = values if is_matrix(p.name) else values[:, 0]
        scalars = [float(s[member]) for s in self._state[:-1]]
        numbers = np.array([*scalars, *self._state.curvatures[:, member].tolist()])
        return parts | {"lbfgs_numbers": [{"numbers": numbers}]}

    def _views(self, member: int) -> Iterable[tuple[_Piece, str, Tensor]]:
        slot = self._net.layout.slots[member]
        for p in self._pieces:
            if p.run.holds(member) and is_own(p.name, slot.hp, p.block):
                n_out, n_in = own_shape(p.name, slot, p.block, self._net.layout.n_outputs)
                for name, values in p.numbers().items():
                    yield p, name, values[member - p.run.start, :n_out, :n_in]


def _rows(numbers: Tensor, piece: _Piece) -> Tensor:
    """Select the members of a piece from (members,), in the shape (members, 1, 1) that broadcasts with its tensors."""
    return numbers[piece.run.members].view(-1, 1, 1)


def _pieces(net: PackedFNN) -> Iterable[_Piece]:
    runs = [run for kind, run in net.layout.runs(lambda s: s.hp.family) if kind == "lbfgs"]
    parameters = [p for p in net.parameters.parts if p.name not in STATISTICS]
    for part, gradients in zip(parameters, net.gradients.parts, strict=True):
        block = net.layout.blocks[part.block]
        for run in runs:
            start, stop = max(run.start, block.run.start), min(run.stop, block.run.stop)
            if start < stop:
                rows = slice(start - block.run.start, stop - block.run.start)
                values = part.values[rows]
                state = [torch.zeros_like(values) for _ in range(3)]
                history = [torch.zeros(MEMORY, *values.shape, dtype=net.dtype, device=net.device) for _ in range(2)]
                own = Run(start, stop)
                decay = _decay(net, block, part.name, own)
                yield _Piece(block, part.name, own, decay, values, gradients.values[rows], *state, *history)


def _decay(net: PackedFNN, block: Block, name: str, run: Run) -> Tensor:
    factors = [part_factors(s.hp, name, block.layer).decay for s in net.layout.slots[run.members]]
    return torch.tensor(factors, dtype=net.dtype, device=net.device).view(-1, 1, 1)
