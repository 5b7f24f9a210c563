"""The coefficients of a member's update rule: all backends take them from here, not from the optimizer's name."""

from __future__ import annotations

from typing import NamedTuple

from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.hyperparameters import Hyperparameters


class UpdateNumbers(NamedTuple):
    """The coefficients of an update rule; their meaning is in the formulas of `models.eager.optim`."""

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
    """Derive the coefficients of a member's update rule from its hyperparameters."""
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
