"""The forward pass of one trained network in NumPy: predictions need no PyTorch, which takes a second to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.activations import LEAK, SELU_ALPHA, SELU_SCALE
from foldstep.models.catalog.norms import EPSILON
from foldstep.models.catalog.parts import LINEAR, SECOND
from foldstep.models.catalog.units import UNITS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage
from foldstep.models.weights import Layer, Weights

Matrix = npt.NDArray[np.float32]
PIECE_ROWS = 1024
"""Rows that go through all layers at once: what a layer of usual width writes then stays in the processor's cache."""


def forward(hp: Hyperparameters, weights: Weights, x: Matrix, stage: InputStage | None = None) -> Matrix:
    """Compute the outputs of a network: linear layers, each but the last followed by a normalisation and an activation.

    Args:
        hp: the hyperparameters that it was trained with.
        weights: its layers.
        x: (rows, n_inputs).
        stage: what is between the inputs and the first layer; None for nothing.

    Returns:
        (rows, n_outputs): logits, or what `worker/data/target.py` makes values of.
    """
    with np.errstate(all="ignore"):  # float32 may overflow: an infinite prediction is one
        pieces = [x[i : i + PIECE_ROWS] for i in range(0, max(len(x), 1), PIECE_ROWS)]
        return np.concatenate([_forward(hp, weights, piece, stage) for piece in pieces])


def _forward(hp: Hyperparameters, weights: Weights, x: Matrix, stage: InputStage | None) -> Matrix:
    if stage is not None:
        x = staged(stage, weights[0], x)
    for i, layer in enumerate(weights[:-1]):
        second = _linear(hp, layer, x, SECOND) if hp.has_second else None
        z = hidden(hp, i, _linear(hp, layer, x), second, layer)
        x = z + x if hp.skips(i) else z
    return _linear(hp, weights[-1], x)


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute probabilities from logits, (rows, classes)."""
    with np.errstate(invalid="ignore"):  # infinite logits have no probabilities: NaN
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(log_odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute probabilities from log odds, of any shape; infinite ones have none: NaN, as in `softmax`."""
    shares = np.exp(-np.logaddexp(0.0, -log_odds))
    return np.where(np.isfinite(log_odds), shares, np.nan)


def staged(stage: InputStage, parts: Layer, x: Matrix) -> Matrix:
    """Compute what the first layer reads, (rows, `stage.n_units`)."""
    x = x.copy()
    for i, (flag, value) in enumerate(stage.missing):
        x[:, value] += x[:, flag] * parts["missing"][i]
    numbers = x[:, stage.embedded]
    embedded = [_embedded(stage, parts, j, number) for j, number in enumerate(numbers.T)]
    values = np.concatenate([*embedded, *_categories(stage, parts, x), x[:, stage.kept]], axis=1)
    return np.asarray(values * parts["input_scale"] if stage.is_scaled else values)


def _categories(stage: InputStage, parts: Layer, x: Matrix) -> Iterator[Matrix]:
    first = 0
    for at, n_codes, width in stage.codes:
        table = parts["category"][first : first + n_codes * width].reshape(n_codes, width)
        yield table[x[:, at].astype(np.int64)]
        first += n_codes * width


def _embedded(stage: InputStage, parts: Layer, j: int, number: Matrix) -> Matrix:
    """Embed a column, given its index among the embedded ones; (rows, `stage.size`)."""
    maps = slice(0, None) if stage.is_shared else slice(j * stage.n_linear, (j + 1) * stage.n_linear)
    values = _product(_features(stage, parts, j, number), parts["linear"][maps]) + parts["linear_bias"][maps]
    if stage.kind == "plr":
        values = np.maximum(values, np.float32(0))
    return np.column_stack([values, number]) if stage.kind == "pbld" else np.asarray(values)


def _features(stage: InputStage, parts: Layer, j: int, number: Matrix) -> Matrix:
    if stage.kind == "piecewise":
        inverse = parts["inverse_width"][j][parts["inverse_width"][j] > 0]
        shares = (number[:, None] - parts["edge"][j][: len(inverse)]) * inverse
        shares[:, 1:] = np.maximum(shares[:, 1:], np.float32(0))
        shares[:, :-1] = np.minimum(shares[:, :-1], np.float32(1))
        nothing = np.zeros((len(number), stage.bins - len(inverse)), dtype=np.float32)
        return np.column_stack([shares, nothing, number])
    argument = np.float32(2 * pi) * parts["frequency"][j] * number[:, None]
    if stage.kind == "pbld":
        return np.asarray(np.cos(argument + parts["phase"][j]))
    return np.concatenate([np.cos(argument), np.sin(argument)], axis=1)


def hidden(hp: Hyperparameters, i: int, z: Matrix, second: Matrix | None, layer: Layer) -> Matrix:
    """Compute the activations of hidden layer `i`, (rows, units).

    Args:
        hp: the network's hyperparameters.
        i: 0 for the first layer.
        z: (rows, units), the linear map of the layer's inputs.
        second: the second one; None where units have none.
        layer: the other numbers of the layer.
    """
    z = NORMS[hp.norm](normalised(hp, z, second), layer)
    if UNITS[hp.units].is_activated:
        z = _activated(hp.activation[i], z, layer)
    return JOINS[hp.units].after(z, second)


def normalised(hp: Hyperparameters, z: Matrix, second: Matrix | None) -> Matrix:
    """Compute what the normalisation of a hidden layer reads; arguments as for `hidden`."""
    return JOINS[hp.units].before(z, second)


def _activated(name: str, z: Matrix, layer: Layer) -> Matrix:
    applied = ACTIVATIONS[name](z)
    return z + layer["share"] * (applied - z) if "share" in layer else applied


def _product(x: Matrix, weight: Matrix) -> Matrix:
    """Multiply the rows by the transposed weights.

    In float32 the last digit of a row depends on its place in the product, so on the rows beside it. The sums are
    therefore in float64, and rounded at the end.
    """
    return np.asarray((x.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.float32))


def _linear(hp: Hyperparameters, layer: Layer, x: Matrix, names: tuple[str, str] = LINEAR) -> Matrix:
    weight, bias = names
    z = _product(x, layer[weight])
    gain = hp.weight_gain(x.shape[1])
    if gain != 1.0:
        z *= np.float32(gain)
    if bias in layer:
        z += layer[bias]
    return z


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


def _selu(z: Matrix) -> Matrix:
    below = np.float32(SELU_SCALE * SELU_ALPHA) * np.expm1(np.minimum(z, np.float32(0)))
    return np.where(z > 0, z * np.float32(SELU_SCALE), below)


def _mish(z: Matrix) -> Matrix:
    return np.asarray(z * np.tanh(np.logaddexp(z, np.float32(0))))


def _sigmoid(z: Matrix) -> Matrix:
    return np.asarray(1 / (1 + np.exp(-z)))


@dataclass(frozen=True)
class Join:
    """How units join their linear maps: before the normalisation z and the second one, after the activation that."""

    before: Callable[[Matrix, Any], Matrix] = lambda z, _second: z
    after: Callable[[Matrix, Any], Matrix] = lambda h, _second: h


JOINS: Mapping[str, Join] = {
    "plain": Join(),
    "glu": Join(after=lambda h, second: np.asarray(h * second)),
    "maxout": Join(before=lambda z, second: np.asarray(np.maximum(z, second))),
}
"""By the value of the hyperparameter `units`; `models/catalog/units.py` has the sources."""

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
    "selu": _selu,
    "mish": _mish,
}
"""By name; `models/eager/activations.py` has the sources."""
