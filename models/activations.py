"""The activation functions and their derivatives, in place, on slices of a pack.

Both directions work on contiguous slices whose length is a multiple of the vector width (the layout pads to
it), so that no element ever falls to a kernel's scalar remainder, which may round differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes:
        forward: turns the pre-activations into activations, in place.
        backward: given (gradient with respect to the activations, activations), turns the gradient into the
            one with respect to the pre-activations, in place.
        zero_at_zero: whether f(0) = 0, so that padded units stay zero by themselves.
    """

    forward: Callable[[Tensor], object]
    backward: Callable[[Tensor, Tensor], object]
    zero_at_zero: bool


def _relu_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)


def _tanh_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.tanh_backward.grad_input(gradient, activation, grad_input=gradient)


def _sigmoid_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.sigmoid_backward.grad_input(gradient, activation, grad_input=gradient)


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(torch.relu_, _relu_backward, zero_at_zero=True),
    "tanh": Activation(torch.tanh_, _tanh_backward, zero_at_zero=True),
    "sigmoid": Activation(torch.sigmoid_, _sigmoid_backward, zero_at_zero=False),
}
"""By the value of the hyperparameter `activation`."""
