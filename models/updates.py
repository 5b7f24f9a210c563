"""The coefficients of a member's update rule: all backends take them from here, not from the optimizer's name."""

from __future__ import annotations

import math
from typing import NamedTuple

from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.parts import PARTS
from foldstep.models.hyperparameters import Hyperparameters

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""The coefficients a, b, c of muon's iteration, as published (`models.eager.muon`)."""
NEWTON_SCHULZ_STEPS = 5
LEAST_NORM = 1e-7
"""Muon divides by no smaller norm; PyTorch's value."""

NOISE_FADING = 0.55
"""The variance of the noise on the gradients falls with this power of the steps (Neelakantan et al. 2015)."""
NOISE_ROW = 1 << 16
"""Positions of that noise from one unit of a part to the next."""


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


class PartFactors(NamedTuple):
    """The factors on the learning rate and on the weight decay of one part of a layer."""

    rate: float
    decay: float


def part_factors(hp: Hyperparameters, name: str, layer: int) -> PartFactors:
    """Compute the factors of one part: its own, times those of the first and of the output layer.

    The rate of what muon makes orthogonal is `muon_lr`, with the same schedule: here a factor on `lr`.

    Args:
        hp: the member's hyperparameters.
        name: a key of `PARTS`.
        layer: 0 for the first layer; the number of hidden layers for the output.
    """
    row = PARTS[name]
    rate = _factor(hp, row.rate)
    if row.is_linear:
        rate *= hp.first_layer_lr_factor if layer == 0 else 1.0
        rate *= hp.output_lr_factor if layer == len(hp.hidden) else 1.0
    if is_orthogonal(hp, name, layer):
        rate *= hp.muon_lr / hp.lr
    return PartFactors(rate, _factor(hp, row.decay))


def is_orthogonal(hp: Hyperparameters, name: str, layer: int) -> bool:
    """Tell whether a member's update of a part is muon's orthogonal one: for the weights of hidden layers."""
    return hp.family == "muon" and PARTS[name].is_matrix and layer < len(hp.hidden)


def shape_factor(n_out: int, n_in: int) -> float:
    """Compute muon's factor on the update of a matrix of a layer, from its units and inputs without padding."""
    return math.sqrt(max(1.0, n_out / n_in))


def _factor(hp: Hyperparameters, name: str | None) -> float:
    return 1.0 if name is None else float(getattr(hp, name))
