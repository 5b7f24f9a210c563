"""The activation functions and their derivatives, in place, on slices of a pack.

Both directions work on contiguous slices whose length is a multiple of the vector width (the layout pads to
it), so that no element is computed in a kernel's scalar remainder loop, which may round differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from foldstep.models.catalog.activations import LEAK, SELU_ALPHA, SELU_SCALE

_aten = torch.ops.aten


@dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes:
        forward: turns the pre-activations into activations, in place.
        backward: given the gradient with respect to the activations, and the activations (or the pre-activations if
            the table says `needs_input`), turns the gradient into
            the one with respect to the pre-activations, in place.
    """

    forward: Callable[[Tensor], object]
    backward: Callable[[Tensor, Tensor], object]


def _relu_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)


def _tanh_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.tanh_backward.grad_input(gradient, activation, grad_input=gradient)


def _sigmoid_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.sigmoid_backward.grad_input(gradient, activation, grad_input=gradient)


def _leaky_relu_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.leaky_relu_backward.grad_input(gradient, activation, LEAK, True, grad_input=gradient)


def _elu_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.elu_backward.grad_input(gradient, 1.0, 1.0, 1.0, True, activation, grad_input=gradient)


def _relu6_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.hardtanh_backward.grad_input(gradient, activation, 0.0, 6.0, grad_input=gradient)


def _gelu(z: Tensor) -> None:
    _aten.gelu.out(z, approximate="none", out=z)


def _gelu_backward(gradient: Tensor, z: Tensor) -> None:
    _aten.gelu_backward.grad_input(gradient, z, approximate="none", grad_input=gradient)


def _silu_backward(gradient: Tensor, z: Tensor) -> None:
    _aten.silu_backward.grad_input(gradient, z, grad_input=gradient)


def _selu_backward(gradient: Tensor, activation: Tensor) -> None:
    _aten.elu_backward.grad_input(gradient, SELU_ALPHA, SELU_SCALE, 1.0, True, activation, grad_input=gradient)


def _mish_backward(gradient: Tensor, z: Tensor) -> None:
    gradient.copy_(_aten.mish_backward(gradient, z))


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(torch.relu_, _relu_backward),
    "leaky_relu": Activation(lambda z: functional.leaky_relu_(z, LEAK), _leaky_relu_backward),
    "elu": Activation(functional.elu_, _elu_backward),  # Clevert et al. (2016)
    "gelu": Activation(_gelu, _gelu_backward),  # Hendrycks and Gimpel (2016), with the exact erf
    "silu": Activation(lambda z: functional.silu(z, inplace=True), _silu_backward),  # same paper
    "relu6": Activation(lambda z: z.clamp_(0, 6), _relu6_backward),  # Krizhevsky (2010)
    "tanh": Activation(torch.tanh_, _tanh_backward),
    "sigmoid": Activation(torch.sigmoid_, _sigmoid_backward),
    "selu": Activation(functional.selu_, _selu_backward),  # Klambauer et al. (2017)
    "mish": Activation(lambda z: functional.mish(z, inplace=True), _mish_backward),  # Misra (2019)
}
"""By the value of the hyperparameter `activation`; a test compares the names with those of the table."""
