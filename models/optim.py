"""The optimizers of a pack: every member with its own rule and its own numbers, in a few wide operations.

With gradient g (L2 decay added to it: g + weight_decay * p, except for adamw) and learning rate lr:

- sgd, momentum, nesterov (Sutskever et al. 2013, in PyTorch's form): b = momentum * b + g;
  p -= lr * b, for nesterov p -= lr * (g + momentum * b)
- adam (Kingma and Ba 2015, algorithm 1): m, v the running means of g and g^2, bias-corrected;
  p -= lr * m / (sqrt(v) + eps)
- adamw (Loshchilov and Hutter 2019, algorithm 2): p *= 1 - lr * weight_decay first, g without decay
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from models.hyperparameters import Hyperparameters
from models.layout import Run, family
from models.packed import PackedFNN, Stack


@dataclass(frozen=True)
class _Segment:
    """One part of the stacks (a block's weights or biases) for one run of members, as (members, numbers) views."""

    run: Run
    parameters: Tensor
    gradients: Tensor
    first: Tensor
    second: Tensor | None
    update: Tensor | None


class PackedOptimizer:
    """Updates all members of a network by one step.

    Attributes:
        first: momentum buffers, or Adam's first moments.
        second: Adam's second moments; None where no member uses Adam.
        step_count: steps taken so far, the same for all members of a pack.
    """

    def __init__(self, net: PackedFNN, step_count: int = 0) -> None:
        self._net = net
        self._layout = net.layout
        adam = any(family(s.hp.optimizer) == "adam" for s in net.layout.slots)
        self.first = Stack(net.layout, net.dtype, net.device)
        self.second = Stack(net.layout, net.dtype, net.device) if adam else None
        self._update = Stack(net.layout, net.dtype, net.device) if adam else None
        self.step_count = step_count
        self._steps = torch.tensor(float(step_count), device=net.device)
        self._sgd = [_SgdRun(net, segment) for _, segment in self._segments("sgd", lambda _: None)]
        self._adam = self._adam_groups()

    def step(self) -> None:
        """Apply the gradients that the network holds."""
        self.step_count += 1
        self._steps += 1
        for run in self._sgd:
            run.step()
        for group in self._adam:
            group.step(self._steps)

    def _segments(self, name: str, key: Callable[[Hyperparameters], object]) -> list[tuple[object, _Segment]]:
        """The parts of the stacks that belong to a family, cut where `key` changes."""
        found: list[tuple[object, _Segment]] = []
        stacks = [self._net.parameters, self._net.gradients, self.first, self.second, self._update]
        parts = [s.parts() if s is not None else None for s in stacks]
        for i, block in enumerate(self._layout.blocks):
            for (kind, shared), run in self._layout.runs(lambda s: (family(s.hp.optimizer), key(s.hp))):
                start, stop = max(run.start, block.run.start), min(run.stop, block.run.stop)
                if kind != name or start >= stop:
                    continue
                rows = slice(start - block.run.start, stop - block.run.start)
                for part in (2 * i, 2 * i + 1):
                    views = [p[part][rows] if p is not None else None for p in parts]
                    found.append((shared, _Segment(Run(start, stop), *views)))  # type: ignore[arg-type]
        return found

    def _adam_groups(self) -> list[_AdamGroup]:
        grouped: dict[object, list[_Segment]] = {}
        for key, segment in self._segments("adam", lambda hp: (hp.beta1, hp.beta2, hp.eps)):
            grouped.setdefault(key, []).append(segment)
        return [_AdamGroup(self._net, segments) for segments in grouped.values()]


def _column(net: PackedFNN, run: Run, value: Callable[[Hyperparameters], float]) -> Tensor:
    """One number of each member of a run, (members, 1)."""
    numbers = [value(s.hp) for s in net.layout.slots[run.members]]
    return torch.tensor(numbers, dtype=net.dtype, device=net.device).unsqueeze(1)


class _SgdRun:
    """sgd, momentum and nesterov as one formula: p -= lr * (a * g + c * b)."""

    def __init__(self, net: PackedFNN, segment: _Segment) -> None:
        self._at = segment
        column = partial(_column, net, segment.run)
        self._decay = column(lambda hp: hp.weight_decay)
        self._momentum = column(lambda hp: hp.momentum)
        self._from_gradient = column(lambda hp: -hp.lr if hp.optimizer == "nesterov" else 0.0)
        self._from_buffer = column(lambda hp: -hp.lr * (hp.momentum if hp.optimizer == "nesterov" else 1.0))
        self._decays = bool((self._decay > 0).any())
        self._nesterov = bool((self._from_gradient != 0).any())

    def step(self) -> None:
        at = self._at
        if self._decays:
            at.gradients.addcmul_(at.parameters, self._decay)
        at.first.mul_(self._momentum).add_(at.gradients)
        at.parameters.addcmul_(at.first, self._from_buffer)
        if self._nesterov:
            at.parameters.addcmul_(at.gradients, self._from_gradient)


class _AdamGroup:
    """All members with the same betas and eps: one call of the fused kernel, whatever their rates.

    The kernel takes one learning rate for all. It is therefore run at rate 1 with a decoupled decay of 1, which
    makes its target u = 0 * u - m / (sqrt(v) + eps), the bare step; then p += lr * u with each member's own rate.
    """

    def __init__(self, net: PackedFNN, segments: list[_Segment]) -> None:
        hp = net.layout.slots[segments[0].run.start].hp
        self._beta1, self._beta2, self._eps = hp.beta1, hp.beta2, hp.eps
        self._segments = segments
        self._updates = [s.update for s in segments if s.update is not None]
        self._seconds = [s.second for s in segments if s.second is not None]
        self._rates = [_column(net, s.run, lambda hp: hp.lr) for s in segments]
        self._l2 = [_column(net, s.run, lambda hp: hp.weight_decay * (hp.optimizer == "adam")) for s in segments]
        self._shrink = [
            _column(net, s.run, lambda hp: 1 - hp.lr * hp.weight_decay * (hp.optimizer == "adamw")) for s in segments
        ]
        self._decays = any(bool((x > 0).any()) for x in self._l2)
        self._shrinks = any(bool((x != 1).any()) for x in self._shrink)

    def step(self, steps: Tensor) -> None:
        segments = self._segments
        if self._decays:
            for s, l2 in zip(segments, self._l2, strict=True):
                s.gradients.addcmul_(s.parameters, l2)
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
            for s, shrink in zip(segments, self._shrink, strict=True):
                s.parameters.mul_(shrink)
        for s, update, rate in zip(segments, self._updates, self._rates, strict=True):
            s.parameters.addcmul_(update, rate)
