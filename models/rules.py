"""Hyperparameters for those who know no names: for the compiled library and the kernel for GPUs.

The order of choices, and the numbers of update rules.
"""

from __future__ import annotations

from typing import NamedTuple

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.layout import family

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "relu6", "tanh", "sigmoid")
LOSSES = ("cross_entropy", "mse", "mae", "huber", "poisson")
FAMILIES = ("sgd", "rms", "adam")


class RuleNumbers(NamedTuple):
    """The numbers of a member's rule; `models.eager.optim` says what they do."""

    momentum: float
    nesterov: float
    keep: float
    add: float
    beta1: float
    beta2: float
    eps: float
    l2: float
    decoupled: float


def rule_numbers(hp: Hyperparameters) -> RuleNumbers:
    """The numbers of a rule, as `models.eager.optim` derives them."""
    is_rmsprop, is_adamw = hp.optimizer == "rmsprop", hp.optimizer == "adamw"
    return RuleNumbers(
        momentum=hp.momentum if family(hp.optimizer) == "sgd" or is_rmsprop else 0.0,
        nesterov=float(hp.optimizer == "nesterov"),
        keep=hp.rho if is_rmsprop else 1.0,
        add=1 - hp.rho if is_rmsprop else 1.0,
        beta1=hp.beta1,
        beta2=hp.beta2,
        eps=hp.eps,
        l2=0.0 if is_adamw else hp.weight_decay,
        decoupled=hp.weight_decay if is_adamw else 0.0,
    )
