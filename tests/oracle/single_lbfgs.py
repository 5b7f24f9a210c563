"""Limited-memory BFGS of one network, written plainly: the reference for `models.eager.lbfgs`.

PyTorch's `LBFGS` cannot shorten a step after an evaluation. Where this one does not either, both agree up to rounding,
which `test_lbfgs.py` checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from foldstep.models.eager.lbfgs import ARMIJO, LEAST_CURVATURE, LONGEST, MAX_RETREATS, MEMORY, SHORTEST


class SingleLBFGS(torch.optim.Optimizer):
    """An optimizer with one evaluation of the loss in each step: call `step` with the loss at the current parameters.

    Args:
        parameters: of the network.
        lr: the learning rate; it can be changed in `param_groups`.
        weight_decay: coefficient of the L2 penalty, added here to the loss and the gradient; a group of parameters may
            have its own, by the same name.
        l1: coefficient of the L1 penalty, added here to the loss only; the gradient must include it already.
    """

    def __init__(self, parameters: Iterable[Any], lr: float, weight_decay: float, l1: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self._l1 = l1
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._point = self._gradient = self._direction = torch.empty(0)
        self._loss = self._slope = self._length = 0.0
        self._retreats = 0
        self._has_begun = False

    @torch.no_grad()
    def step(self, loss: float) -> None:  # type: ignore[override]
        """Accept the current point or shorten the step to it, then move the parameters to the next point."""
        x = torch.cat([p.flatten() for p in self._parameters()])
        g = torch.cat(
            [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in self._parameters()]
        )
        decays = [torch.full_like(p, of["weight_decay"]) for of in self.param_groups for p in of["params"]]
        decay = torch.cat([d.flatten() for d in decays])
        loss += float((decay / 2 * x.square()).sum() + self._l1 * x.abs().sum())
        g = g + decay * x
        if self._has_begun and not self._is_enough(loss) and self._retreats < MAX_RETREATS:
            self._retreat(loss)
        else:
            self._advance(x, g, loss)
        self._write(self._point + self._length * self._direction)

    def _is_enough(self, loss: float) -> bool:
        slack = 10 * torch.finfo(self._point.dtype).eps * abs(self._loss)
        return loss <= self._loss + ARMIJO * self._length * self._slope + slack

    def _retreat(self, loss: float) -> None:
        rise = loss - self._loss - self._slope * self._length
        best = -self._slope * self._length**2 / (2 * rise)
        self._length = min(max(best, SHORTEST * self._length), LONGEST * self._length)
        self._retreats += 1

    def _advance(self, x: Tensor, g: Tensor, loss: float) -> None:
        if self._has_begun:
            step, change = self._length * self._direction, g - self._gradient
            if change @ step > LEAST_CURVATURE:
                self._pairs = [*self._pairs, (step, change)][-MEMORY:]
        if self._retreats >= MAX_RETREATS:
            self._pairs = []
        direction = self._two_loops(g)
        if not g @ direction < 0:
            self._pairs, direction = [], -g
        lr = self.param_groups[0]["lr"]
        self._length = lr if self._pairs else min(1.0, 1.0 / float(g.abs().sum())) * lr
        self._point, self._gradient, self._direction = x, g, direction
        self._loss, self._slope, self._retreats, self._has_begun = loss, float(g @ direction), 0, True

    def _two_loops(self, g: Tensor) -> Tensor:
        q = -g
        shares = []
        for step, change in reversed(self._pairs):
            shares.append((step @ q) / (change @ step))
            q = q - shares[-1] * change
        if self._pairs:
            step, change = self._pairs[-1]
            q = q * (change @ step) / (change @ change)
        for (step, change), share in zip(self._pairs, reversed(shares), strict=True):
            q = q + step * (share - (change @ q) / (change @ step))
        return q

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.param_groups for p in group["params"]]

    def _write(self, x: Tensor) -> None:
        at = 0
        for p in self._parameters():
            p.copy_(x[at : at + p.numel()].view_as(p))
            at += p.numel()
