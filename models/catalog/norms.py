"""The normalisations of hidden layers: the parameters and running statistics of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EPSILON = 1e-5
"""Prevents a division by a variance of zero; PyTorch's value."""


@dataclass(frozen=True)
class Norm:
    """One normalisation.

    Attributes:
        is_scaled: whether every unit has a trained scale and shift.
        over_rows: whether mean and variance are taken over the rows of a batch. It then keeps running statistics, and a
            bias before it has no effect.
    """

    is_scaled: bool = True
    over_rows: bool = False


NORMS: Mapping[str, Norm] = {
    "none": Norm(is_scaled=False),
    "batch": Norm(over_rows=True),
    "layer": Norm(),
}
"""By the value of the hyperparameter `norm`, in the order of the documentation; backends number them in this order."""
