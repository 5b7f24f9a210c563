"""The normalisations of hidden layers: which numbers each of them trains or keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EPSILON = 1e-5
MOMENTUM = 0.1
"""Share of a batch's statistics in the running ones; both constants are PyTorch's defaults."""


@dataclass(frozen=True)
class Norm:
    """One normalisation.

    Attributes:
        is_scaled: whether it trains a scale and a shift of every unit.
        over_rows: whether it goes over the rows of a batch: it then keeps running statistics, and takes away what a
            bias before it adds.
    """

    is_scaled: bool = True
    over_rows: bool = False


NORMS: Mapping[str, Norm] = {
    "none": Norm(is_scaled=False),
    "batch": Norm(over_rows=True),
    "layer": Norm(),
}
"""By the value of the hyperparameter `norm`, in the order of the documentation, which numbers them."""
