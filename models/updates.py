"""The numbers that a member's update rule is told: all backends get them from here, and none asks for a name."""

from __future__ import annotations

from typing import NamedTuple

from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.hyperparameters import Hyperparameters


class UpdateNumbers(NamedTuple):
    """The numbers of a rule; `models.eager.optim` says what they do."""

    momentum: float
    nesterov: float
    keep: float
    add: float
    beta1: float
    beta2: float
    eps: float
    l2: float
    decoupled: float


def update_numbers(hp: Hyperparameters) -> UpdateNumbers:
    """Derive the numbers of a member's rule from its hyperparameters."""
    optimizer = OPTIMIZERS[hp.optimizer]
    return UpdateNumbers(
        momentum=hp.momentum if optimizer.uses_momentum else 0.0,
        nesterov=float(optimizer.nesterov),
        keep=hp.rho if optimizer.forgets_squares else 1.0,
        add=1 - hp.rho if optimizer.forgets_squares else 1.0,
        beta1=hp.beta1,
        beta2=hp.beta2,
        eps=hp.eps,
        l2=0.0 if optimizer.decouples_decay else hp.weight_decay,
        decoupled=hp.weight_decay if optimizer.decouples_decay else 0.0,
    )
