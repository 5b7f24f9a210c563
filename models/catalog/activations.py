"""The activation functions: the properties of each that code asks about; the formulas are in the backends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from foldstep.models.catalog.backends import EVERY_BACKEND, Backend

LEAK = 0.01
"""Slope of leaky_relu below zero (Maas et al. 2013)."""

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
"""The constants of selu, with which activations of mean 0 and variance 1 keep them (Klambauer et al. 2017, eq. 14)."""

_SMALL_SLOPE = 1 / 20
_FLAT = math.sqrt(1 - _SMALL_SLOPE)


@dataclass(frozen=True)
class Activation:
    """One activation function.

    An activation is called saturated where the function's slope is under a twentieth of its greatest.

    Attributes:
        zero_at_zero: whether f(0) = 0, so that padded units stay zero without being masked.
        needs_input: whether the derivative is computed from the pre-activation, not from the activation.
        saturated_below: activations at or below this are saturated; minus infinity if the slope stays steep.
        saturated_above: activations at or above this are saturated; infinity if the slope stays steep.
        rectifies: whether a unit can be dead: activation and slope are zero for every row of the data.
        kinked: whether its first or second derivative has a jump.
        backends: the backends that implement it.
    """

    zero_at_zero: bool = True
    needs_input: bool = False
    saturated_below: float = -math.inf
    saturated_above: float = math.inf
    rectifies: bool = False
    kinked: bool = False
    backends: frozenset[Backend] = EVERY_BACKEND

    @property
    def saturates(self) -> bool:
        """Whether there are activations that count as saturated."""
        return math.isfinite(self.saturated_below) or math.isfinite(self.saturated_above)


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(rectifies=True, kinked=True),
    "leaky_relu": Activation(kinked=True),
    "elu": Activation(saturated_below=_SMALL_SLOPE - 1, kinked=True),  # its slope is a + 1 below zero
    "gelu": Activation(needs_input=True),
    "silu": Activation(needs_input=True),
    "relu6": Activation(saturated_above=6.0, rectifies=True, kinked=True),
    "tanh": Activation(saturated_below=-_FLAT, saturated_above=_FLAT),  # its slope is 1 - a^2
    "sigmoid": Activation(  # its slope is a (1 - a), 1/4 at most
        zero_at_zero=False, saturated_below=(1 - _FLAT) / 2, saturated_above=(1 + _FLAT) / 2
    ),
    "selu": Activation(  # its slope is a + SCALE * ALPHA below zero, which is also its greatest
        saturated_below=SELU_SCALE * SELU_ALPHA * (_SMALL_SLOPE - 1), kinked=True
    ),
    "mish": Activation(needs_input=True),
}
"""The activation functions by name, in the order of the documentation; backends number them in this order."""
