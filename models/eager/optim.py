"""The optimizers of a pack: each member has its own rule and coefficients, and few operations update all members.

The gradient g is that of the loss. An L1 penalty adds l1 * sign(p); then g is clipped to a norm of `clip_norm` over all
parameters of the member (Pascanu et al. 2013); then, except for adamw and muon, L2 decay adds weight_decay * p. With
rate lr:

- sgd, momentum, nesterov (Sutskever et al. 2013, in PyTorch's form): b = momentum * b + g;
  p -= lr * b, for nesterov p -= lr * (g + momentum * b)
- adagrad (Duchi et al. 2011): v += g^2; p -= lr * g / (sqrt(v) + eps)
- rmsprop (Tieleman and Hinton 2012): v = rho * v + (1 - rho) * g^2; b = momentum * b + g / (sqrt(v) + eps); p -= lr * b
- adam (Kingma and Ba 2015, algorithm 1): m, v the running means of g and g^2, bias-corrected;
  p -= lr * m / (sqrt(v) + eps)
- adamw (Loshchilov and Hutter 2019, algorithm 2): p *= 1 - lr * weight_decay first, g without decay
- muon: see `models.eager.muon`; adamw for all but the weights of hidden layers
- lbfgs: see `models.eager.lbfgs`

Rate and decay of a part of a layer have factors (`models.updates.part_factors`); the rate of lbfgs has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from foldstep.models.catalog.optimizers import FAMILIES
from foldstep.models.eager.gradient_noise import GradientNoise
from foldstep.models.eager.lbfgs import PackedLBFGS
from foldstep.models.eager.muon import MuonRun
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.eager.segments import Pace, Segment, column, pace_of
from foldstep.models.eager.sums import MemberSums
from foldstep.models.layout import Run, Slot
from foldstep.models.stack import STATISTICS, MemberRows, Stack
from foldstep.models.updates import is_orthogonal
from foldstep.models.weights import Weights

_CLIP_GUARD = 1e-6
"""Prevents a division by a norm of zero; PyTorch's value."""


class _Rule(Protocol):
    """The update formula of one family, for the members that use it."""

    def step(self, pace: Pace, steps: Tensor, losses: Tensor) -> None:
        """Apply the gradients.

        Args:
            pace: learning rates and factors on the decay.
            steps: number of steps taken, including this one; a scalar.
            losses: (members,), of the batch of the gradients.
        """


class PackedOptimizer:
    """The optimizers of all members of a network.

    Attributes:
        first: momentum buffers, or Adam's first moments.
        second: running averages or sums of squared gradients; None if no member's rule has them.
        rates: (members, 1) learning rates of the present step; to be set before `step`.
        decays: (members, 1) factors on the weight decay in the present step; None for 1.
        noise: the noise on the gradients; None if no member has it.
        gradient_keys: its keys in the present step, (kinds, streams, 2) int32.
    """

    def __init__(self, net: PackedFNN, step_count: int = 0) -> None:
        self._net = net
        self._layout = net.layout
        families = {s.hp.family for s in net.layout.slots}
        adaptive = any("second" in FAMILIES[name].moments for name in families)
        self.first = Stack(net.layout, net.dtype, net.device)
        self.second = Stack(net.layout, net.dtype, net.device) if adaptive else None
        self._update = Stack(net.layout, net.dtype, net.device) if adaptive else None
        self.rates = column(net, Run(0, len(net.layout)), lambda hp: hp.base_lr)
        self.decays: Tensor | None = None
        self.gradient_keys: Tensor | None = None
        self.noise = GradientNoise(net) if any(s.hp.noise_variance for s in net.layout.slots) else None
        self._steps = torch.tensor(float(step_count), device=net.device)
        self._penalties = _L1(net) if any(s.hp.l1 for s in net.layout.slots) else None
        self._clipping = _Clipping(net) if any(s.hp.clip_norm for s in net.layout.slots) else None
        self._rules = [rule for name in sorted(families) for rule in RULES[name](self)]

    def step(self, losses: Tensor) -> None:
        """Update the parameters with the gradients in `net.gradients`.

        Args:
            losses: (members,), of the batch of the gradients.
        """
        self._steps += 1
        if self._penalties is not None:
            self._penalties.add()
        if self._clipping is not None:
            self._clipping.clip()
        if self.noise is not None and self.gradient_keys is not None:
            self.noise.add(self.gradient_keys, self._steps)
        for rule in self._rules:
            rule.step(Pace(self.rates, self.decays), self._steps, losses)

    @property
    def _lbfgs(self) -> PackedLBFGS | None:
        return next((rule for rule in self._rules if isinstance(rule, PackedLBFGS)), None)

    @property
    def step_count(self) -> Tensor:
        """Number of steps that the members have taken, a scalar; Adam's bias corrections depend on it."""
        return self._steps

    def advance(self, steps: int) -> None:
        """Add steps to the count that another backend has taken on the same stacks."""
        self._steps += steps

    def member_rows(self) -> list[MemberRows]:
        """List all tensors that `step` changes, except the parameters and the count of steps."""
        moments = [rows for _, stack in self._moments() for rows in stack.member_rows(self._layout)]
        return moments + (self._lbfgs.member_rows() if self._lbfgs is not None else [])

    def put(self, member: int, parts: Mapping[str, Weights]) -> None:
        """Write a member's state, as `take` returned it."""
        for name, stack in self._moments():
            if name in parts:
                stack.put(self._layout, member, parts[name])
        if self._lbfgs is not None and "lbfgs_numbers" in parts:
            self._lbfgs.put(member, parts)

    def take(self, member: int) -> dict[str, Weights]:
        """Read the optimizer state of a member for its snapshot, by name and without padding."""
        parts = {name: stack.take(self._layout, member) for name, stack in self._moments()}
        return parts | (self._lbfgs.take(member) if self._lbfgs is not None else {})

    def _moments(self) -> list[tuple[str, Stack]]:
        return [("first", self.first), *([("second", self.second)] if self.second is not None else [])]

    def segments(self, name: str) -> list[Segment]:
        """Cut the parts of the stacks into segments of members of a family that one call can update."""
        found = []
        runs = [run for family, run in self._layout.runs(_shared_numbers) if family[0] == name]
        parameters = [p for p in self._net.parameters.parts if p.name not in STATISTICS]
        stacks = [self._net.gradients, self.first, self.second, self._update]
        for at, part in enumerate(parameters):
            block = self._layout.blocks[part.block]
            for run in runs:
                start, stop = max(run.start, block.run.start), min(run.stop, block.run.stop)
                if start < stop:
                    rows = slice(start - block.run.start, stop - block.run.start)
                    gradients, first, *rest = (s.parts[at].flat[rows] if s is not None else None for s in stacks)
                    assert gradients is not None
                    assert first is not None
                    of = (Run(start, stop), part.name, block.layer)
                    pace = pace_of(self._net, *of)
                    initial = None if self._net.initial is None else self._net.initial.parts[at].flat[rows]
                    goes_back = column(self._net, of[0], lambda hp: float(hp.decay_towards == "init")) > 0
                    own = (*of, pace, initial, goes_back)
                    found.append(Segment(self._net, *own, part.flat[rows], gradients, first, *rest))
        return found

    @property
    def net(self) -> PackedFNN:
        """The network whose parameters it updates."""
        return self._net


def _shared_numbers(slot: Slot) -> tuple[object, ...]:
    """List the values that members must share to be updated by one call: the family, and betas and eps it uses."""
    hp = slot.hp
    return (hp.family, hp.beta1, hp.beta2, hp.eps) if FAMILIES[hp.family].uses_betas else (hp.family,)


class _L1:
    """The L1 penalties: adds their subgradients to the gradients."""

    def __init__(self, net: PackedFNN) -> None:
        parts = [p for p in net.parameters.parts if p.name not in STATISTICS]
        runs = [net.layout.blocks[p.block].run for p in parts]
        self._rows = [
            (p.flat, g.flat, column(net, run, lambda hp: hp.l1))
            for p, g, run in zip(parts, net.gradients.parts, runs, strict=True)
        ]

    def add(self) -> None:
        for parameters, gradients, l1 in self._rows:
            gradients.addcmul_(parameters.sign(), l1)


class _Clipping:
    """Gradient clipping: scales each member's gradient down to a norm of at most its `clip_norm`."""

    def __init__(self, net: PackedFNN) -> None:
        self._net = net
        limits = [s.hp.clip_norm or float("inf") for s in net.layout.slots]
        self._limit = torch.tensor(limits, dtype=net.dtype, device=net.device)
        self._runs = [net.layout.blocks[p.block].run for p in net.gradients.parts]
        self._sums = MemberSums(net.dtype, net.device)

    def clip(self) -> None:
        squares = torch.zeros_like(self._limit)
        for part, run in zip(self._net.gradients.parts, self._runs, strict=True):
            squares[run.members] += self._sums(part.values.square())
        # an infinite limit gives a factor of 1; so does NaN, whose member diverges anyway
        factor = (self._limit / (squares.sqrt() + _CLIP_GUARD)).clamp(max=1.0).nan_to_num(1.0).unsqueeze(1)
        for part, run in zip(self._net.gradients.parts, self._runs, strict=True):
            part.flat.mul_(factor[run.members])


class _SgdRun:
    """The update of sgd, momentum and nesterov by one formula: p += lr * (a * g + c * b)."""

    def __init__(self, segment: Segment) -> None:
        self._at = segment
        self._decay = segment.decay(lambda of: of.l2)
        self._momentum = segment.column(lambda of: of.momentum)
        self._from_gradient = segment.column(lambda of: -1.0 if of.nesterov else 0.0)
        self._from_buffer = segment.column(lambda of: -of.momentum if of.nesterov else -1.0)
        self._decays = bool((self._decay > 0).any())
        self._nesterov = bool((self._from_gradient != 0).any())

    def step(self, pace: Pace, _steps: Tensor, _losses: Tensor) -> None:
        at, rate = self._at, self._at.rates(pace)
        if self._decays:
            at.add_decay(self._decay, pace)
        at.first.mul_(self._momentum).add_(at.gradients)
        at.parameters.addcmul_(at.first, rate * self._from_buffer)
        if self._nesterov:
            at.parameters.addcmul_(at.gradients, rate * self._from_gradient)


class _RmsRun:
    """The update of adagrad and rmsprop by one formula.

    v = keep * v + add * g^2; b = momentum * b + g / (sqrt(v) + eps); p -= lr * b.
    """

    def __init__(self, segment: Segment) -> None:
        self._at = segment
        self._decay = segment.decay(lambda of: of.l2)
        self._keep = segment.column(lambda of: of.keep)
        self._add = segment.column(lambda of: of.add)
        self._momentum = segment.column(lambda of: of.momentum)
        self._eps = segment.column(lambda of: of.eps)
        self._decays = bool((self._decay > 0).any())

    def step(self, pace: Pace, _steps: Tensor, _losses: Tensor) -> None:
        at = self._at
        assert at.second is not None
        assert at.update is not None
        if self._decays:
            at.add_decay(self._decay, pace)
        torch.mul(at.gradients, at.gradients, out=at.update)
        at.second.mul_(self._keep).addcmul_(at.update, self._add)
        torch.sqrt(at.second, out=at.update)
        torch.div(at.gradients, at.update.add_(self._eps), out=at.update)
        at.first.mul_(self._momentum).add_(at.update)
        at.parameters.addcmul_(at.first, -at.rates(pace))


class _AdamGroup:
    """The update of all members with the same betas and eps, by one call of PyTorch's fused kernel.

    The kernel takes one learning rate for all. It is therefore called with rate 1 and a decoupled decay of 1 on a
    buffer u, which it sets to u = 0 * u - m / (sqrt(v) + eps); then p += lr * u with each member's own rate.
    """

    def __init__(self, segments: list[Segment]) -> None:
        hp = segments[0].net.layout.slots[segments[0].run.start].hp
        self._beta1, self._beta2, self._eps = hp.beta1, hp.beta2, hp.eps
        self._segments = segments
        self._updates = [s.update for s in segments if s.update is not None]
        self._seconds = [s.second for s in segments if s.second is not None]
        self._l2 = [s.decay(lambda of: of.l2) for s in segments]
        self._decoupled = [s.decay(lambda of: of.decoupled) for s in segments]
        self._decays = any(bool((x > 0).any()) for x in self._l2)
        self._shrinks = any(bool((x > 0).any()) for x in self._decoupled)

    def step(self, pace: Pace, steps: Tensor, _losses: Tensor) -> None:
        segments = self._segments
        if self._decays:
            for s, l2 in zip(segments, self._l2, strict=True):
                s.add_decay(l2, pace)
        torch._fused_adamw_(
            self._updates,
            [s.gradients for s in segments],
            [s.first for s in segments],
            self._seconds,
            [],
            [steps] * len(segments),
            lr=1.0,
            beta1=self._beta1,
            beta2=self._beta2,
            weight_decay=1.0,
            eps=self._eps,
            amsgrad=False,
            maximize=False,
        )
        if self._shrinks:
            for s, decay in zip(segments, self._decoupled, strict=True):
                s.shrink(decay, pace)
        for s, update in zip(segments, self._updates, strict=True):
            s.parameters.addcmul_(update, s.rates(pace))


def _adam_groups(segments: Sequence[Segment]) -> list[_AdamGroup]:
    """Group the segments that one call of Adam's kernel updates."""
    grouped: dict[object, list[Segment]] = {}
    for segment in segments:
        slot = segment.net.layout.slots[segment.run.start]
        grouped.setdefault(_shared_numbers(slot), []).append(segment)
    return [_AdamGroup(group) for group in grouped.values()]


def _muon_rules(segments: Sequence[Segment]) -> list[_Rule]:
    """Make the rules of muon: its own for the weights of hidden layers, adamw for the rest."""
    rest = [s for s in segments if not _is_orthogonal(s)]
    return [*(MuonRun(s) for s in segments if _is_orthogonal(s)), *_adam_groups(rest)]


def _is_orthogonal(segment: Segment) -> bool:
    return is_orthogonal(segment.net.layout.slots[segment.run.start].hp, segment.part, segment.layer)


RULES: Mapping[str, Callable[[PackedOptimizer], Sequence[_Rule]]] = {
    "sgd": lambda optimizer: [_SgdRun(segment) for segment in optimizer.segments("sgd")],
    "rms": lambda optimizer: [_RmsRun(segment) for segment in optimizer.segments("rms")],
    "adam": lambda optimizer: _adam_groups(optimizer.segments("adam")),
    "muon": lambda optimizer: _muon_rules(optimizer.segments("muon")),
    "lbfgs": lambda optimizer: [PackedLBFGS(optimizer.net)],
}
"""By family, makes the rules that update its members; a test compares the names with those of the table."""
