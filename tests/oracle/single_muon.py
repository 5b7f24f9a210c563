"""Muon beside AdamW for one network, with stock PyTorch: `torch.optim.Muon` for the weights of hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from foldstep.models.hyperparameters import Hyperparameters


class _Unrounded(TorchFunctionMode):
    """Keeps numbers as they are where PyTorch's Muon rounds them to bfloat16: the comparison is in float64."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is Tensor.bfloat16:
            return args[0].clone()
        return function(*args, **(kwargs or {}))


class SingleMuon:
    """The two optimizers of a network as one.

    Args:
        hp: its hyperparameters.
        groups: the groups of its parameters; `is_orthogonal` tells which are muon's.
    """

    def __init__(self, hp: Hyperparameters, groups: Sequence[dict[str, Any]]) -> None:
        of_muon = [group for group in groups if group["is_orthogonal"]]
        rest = [group for group in groups if not group["is_orthogonal"]]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=hp.lr, betas=(hp.beta1, hp.beta2), eps=hp.eps, weight_decay=hp.weight_decay)
        ]
        if of_muon:
            self._parts.append(
                torch.optim.Muon(of_muon, lr=hp.muon_lr, momentum=hp.momentum, weight_decay=hp.weight_decay)
            )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """All groups of parameters."""
        return [group for part in self._parts for group in part.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad()

    def step(self) -> None:
        """Apply the gradients."""
        with _Unrounded():
            for part in self._parts:
                part.step()
