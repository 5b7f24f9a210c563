"""The losses that training minimises, forward and backward, for all members of a pack at once.

Outputs are (member, unit, column). Columns are weighted: 1 / (rows of the batch) for real rows and 0 for the
columns that fill up a short last batch, so every batch has the same shape and the mean is over real rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(outputs, targets, weights, delta) to the loss of each member."""


def cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Mean cross entropy of softmax(outputs), -log p(class); gradient p - target (Bridle 1990).

    Args:
        outputs: (members, classes, columns) logits; overwritten.
        targets: (members, classes, columns): each column's weight at its class, 0 elsewhere.
        weights: (members, 1, columns): see the module.
        delta: (members, classes, columns), receives the gradient with respect to the logits.

    Returns:
        The loss of each member, (members,).
    """
    outputs.sub_(outputs.amax(dim=1, keepdim=True))
    at_class = (outputs * targets).sum(dim=(1, 2))
    torch.exp(outputs, out=delta)
    total = delta.sum(dim=1, keepdim=True)
    delta.mul_(weights / total).sub_(targets)
    return (total.log_() * weights).sum(dim=(1, 2)).sub_(at_class)


def squared_error(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Mean squared error; gradient 2 (output - target).

    Args:
        outputs: (members, 1, columns).
        targets: (members, 1, columns).
        weights: (members, 1, columns): see the module.
        delta: (members, 1, columns), receives the gradient with respect to the outputs.

    Returns:
        The loss of each member, (members,).
    """
    torch.sub(outputs, targets, out=delta)
    weighted = delta * weights
    loss = (weighted * delta).sum(dim=(1, 2))
    torch.mul(weighted, 2, out=delta)
    return loss
