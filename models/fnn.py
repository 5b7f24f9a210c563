"""The forward pass of one trained network in NumPy: predictions need no PyTorch, which takes a second to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.activations import LEAK
from foldstep.models.catalog.norms import EPSILON
from foldstep.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from foldstep.models.stack import Layer, Weights  # brings PyTorch

Matrix = npt.NDArray[np.float32]


def forward(hp: Hyperparameters, weights: Weights, x: Matrix) -> Matrix:
    """Compute the outputs of a network: linear layers, each but the last followed by a normalisation and an activation.

    Args:
        hp: the hyperparameters that it was trained with.
        weights: its layers.
        x: (rows, n_inputs).

    Returns:
        (rows, n_outputs): logits, or what `worker/data/target.py` makes values of.
    """
    with np.errstate(all="ignore"):  # float32 may overflow: an infinite prediction is one
        for layer, activation in zip(weights[:-1], hp.activation, strict=True):
            x = ACTIVATIONS[activation](NORMS[hp.norm](_linear(layer, x), layer))
        return _linear(weights[-1], x)


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute probabilities from logits, (rows, classes)."""
    with np.errstate(invalid="ignore"):  # infinite logits have no probabilities: NaN
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _linear(layer: Layer, x: Matrix) -> Matrix:
    z = x @ layer["weight"].T
    return np.asarray(z + layer["bias"] if "bias" in layer else z)


def _batch(z: Matrix, layer: Layer) -> Matrix:
    factor = layer["scale"] / np.sqrt(layer["running_var"] + np.float32(EPSILON))
    return np.asarray((z - layer["running_mean"]) * factor + layer["shift"])


def _layer(z: Matrix, layer: Layer) -> Matrix:
    centred = z - z.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + np.float32(EPSILON))
    return np.asarray(centred / deviation * layer["scale"] + layer["shift"])


def _gelu(z: Matrix) -> Matrix:
    from scipy.special import erf  # imported in a sixth of a second, which other activations need not wait for

    return np.asarray(z * np.float32(0.5) * (1 + erf(z * np.float32(sqrt(0.5)))))


def _sigmoid(z: Matrix) -> Matrix:
    return np.asarray(1 / (1 + np.exp(-z)))


NORMS: Mapping[str, Callable[[Matrix, Layer], Matrix]] = {
    "none": lambda z, _layer: z,
    "batch": _batch,
    "layer": _layer,
}
"""By the value of the hyperparameter `norm`; `models/catalog/norms.py` says more of each."""

ACTIVATIONS: Mapping[str, Callable[[Matrix], Matrix]] = {
    "relu": lambda z: np.maximum(z, np.float32(0)),
    "leaky_relu": lambda z: np.maximum(z, z * np.float32(LEAK)),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, np.float32(0)))),
    "gelu": _gelu,
    "silu": lambda z: z * _sigmoid(z),
    "relu6": lambda z: np.clip(z, np.float32(0), np.float32(6)),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
}
"""By name; `models/eager/activations.py` has the sources."""
