"""The forward pass of one network over any operations; `models.fnn` is the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf, pi, sqrt

import numpy as np

from foldstep.models.catalog.activations import LEAK, SELU_ALPHA, SELU_SCALE
from foldstep.models.catalog.norms import EPSILON
from foldstep.models.catalog.parts import LINEAR, SECOND
from foldstep.models.catalog.units import UNITS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage
from foldstep.portable.ops import Ops, Value
from foldstep.worker.predictor import Predictor

Arrays = dict[str, np.ndarray]
Layer = Mapping[str, Value]


def prepared(predictor: Predictor) -> list[Arrays]:
    """List the arrays of each layer as `forward` reads them: gains and running moments are folded into factors."""
    hp, stage = predictor.hp, predictor.stage
    layers = [dict(_linear_arrays(hp, layer)) for layer in predictor.weights]
    for layer, weights in zip(layers[:-1], predictor.weights, strict=False):
        layer.update(_norm_arrays(hp, weights))
        if "share" in weights:
            layer["share"] = weights["share"]
    if stage is not None:
        layers[0].update(_stage_arrays(stage, predictor.weights[0]))
    return layers


def _linear_arrays(hp: Hyperparameters, layer: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    for weight, bias in (LINEAR, SECOND):
        if weight in layer:
            yield weight, layer[weight].T * np.float32(hp.weight_gain(layer[weight].shape[1]))
        if bias in layer:
            yield bias, layer[bias]


def _norm_arrays(hp: Hyperparameters, layer: Mapping[str, np.ndarray]) -> Arrays:
    if hp.norm == "batch":
        factor = layer["scale"] / np.sqrt(layer["running_var"] + np.float32(EPSILON))
        return {"mean": layer["running_mean"], "factor": factor, "shift": layer["shift"]}
    return {"factor": layer["scale"], "shift": layer["shift"]} if hp.norm == "layer" else {}


def _stage_arrays(stage: InputStage, parts: Mapping[str, np.ndarray]) -> Arrays:
    arrays: Arrays = {}
    if stage.missing:
        arrays["filled"] = np.zeros((len(stage.missing), stage.n_inputs), np.float32)
        for i, (_, value) in enumerate(stage.missing):
            arrays["filled"][i, value] = parts["missing"][i]
    for j in range(len(stage.embedded)):
        arrays |= {f"{name}_{j}": array for name, array in _embedding_arrays(stage, parts, j).items()}
    first = 0
    for i, (_, n_codes, width) in enumerate(stage.codes):
        arrays[f"category_{i}"] = parts["category"][first : first + n_codes * width].reshape(n_codes, width)
        first += n_codes * width
    return arrays | ({"input_scale": parts["input_scale"]} if stage.is_scaled else {})


def _embedding_arrays(stage: InputStage, parts: Mapping[str, np.ndarray], j: int) -> Arrays:
    maps = slice(0, None) if stage.is_shared else slice(j * stage.n_linear, (j + 1) * stage.n_linear)
    arrays = {"linear": parts["linear"][maps].T, "linear_bias": parts["linear_bias"][maps]}
    if stage.kind == "piecewise":
        return arrays | _bin_arrays(parts["edge"][j], parts["inverse_width"][j])
    arrays["frequency"] = np.float32(2 * pi) * parts["frequency"][j]
    return arrays | ({"phase": parts["phase"][j]} if stage.kind == "pbld" else {})


def _bin_arrays(edge: np.ndarray, inverse: np.ndarray) -> Arrays:
    """List the arrays of a column's bins; those that it does not have give 0, the first and last one have no bound."""
    n = int((inverse > 0).sum())
    low, high = np.zeros(len(edge), np.float32), np.ones(len(edge), np.float32)
    if n:
        low[0], high[n - 1] = -inf, inf
    return {"edge": edge, "inverse_width": inverse, "low": low, "high": high}


def forward(ops: Ops, hp: Hyperparameters, layers: Sequence[Layer], x: Value, stage: InputStage | None = None) -> Value:
    """Compute the outputs of a network, (rows, outputs).

    Args:
        ops: the operations.
        hp: its hyperparameters.
        layers: the values of `prepared`.
        x: its inputs, (rows, inputs), float32.
        stage: what is between the inputs and the first layer; None for nothing.
    """
    if stage is not None:
        x = _staged(ops, stage, layers[0], x)
    for i, layer in enumerate(layers[:-1]):
        second = _linear(ops, layer, x, SECOND) if hp.has_second else None
        z = _hidden(ops, hp, i, _linear(ops, layer, x, LINEAR), second, layer)
        x = z + x if hp.skips(i) else z
    return _linear(ops, layers[-1], x, LINEAR)


def _linear(ops: Ops, layer: Layer, x: Value, names: tuple[str, str]) -> Value:
    weight, bias = names
    z = ops.matmul(x, layer[weight])
    return z + layer[bias] if bias in layer else z


def _hidden(ops: Ops, hp: Hyperparameters, i: int, z: Value, second: Value, layer: Layer) -> Value:
    if hp.units == "maxout":
        z = ops.maximum(z, second)
    z = _normalised(ops, hp.norm, z, layer)
    if UNITS[hp.units].is_activated:
        applied = ACTIVATIONS[hp.activation[i]](ops, z)
        z = z + layer["share"] * (applied - z) if "share" in layer else applied
    return z * second if hp.units == "glu" else z


def _normalised(ops: Ops, norm: str, z: Value, layer: Layer) -> Value:
    if norm == "none":
        return z
    if norm == "batch":
        return (z - layer["mean"]) * layer["factor"] + layer["shift"]
    centred = z - ops.mean(z)
    return centred / ops.sqrt(ops.mean(centred * centred) + EPSILON) * layer["factor"] + layer["shift"]


def _staged(ops: Ops, stage: InputStage, layer: Layer, x: Value) -> Value:
    if stage.missing:
        x = x + ops.matmul(ops.columns(x, [flag for flag, _ in stage.missing]), layer["filled"])
    parts = [_embedded(ops, stage, layer, j, ops.columns(x, [at])) for j, at in enumerate(stage.embedded)]
    parts += [ops.gather(layer[f"category_{i}"], ops.vector(x, at)) for i, (at, _, _) in enumerate(stage.codes)]
    parts += [ops.columns(x, stage.kept)] if stage.kept else []
    values = ops.concat(parts)
    return values * layer["input_scale"] if stage.is_scaled else values


def _embedded(ops: Ops, stage: InputStage, layer: Layer, j: int, number: Value) -> Value:
    """Embed a column, (rows, 1), given its index among the embedded ones; (rows, `stage.size`)."""
    values = ops.matmul(_features(ops, stage, layer, j, number), layer[f"linear_{j}"]) + layer[f"linear_bias_{j}"]
    if stage.kind == "plr":
        values = ops.maximum(values, 0.0)
    return ops.concat([values, number]) if stage.kind == "pbld" else values


def _features(ops: Ops, stage: InputStage, layer: Layer, j: int, number: Value) -> Value:
    if stage.kind == "piecewise":
        shares = (number - layer[f"edge_{j}"]) * layer[f"inverse_width_{j}"]
        shares = ops.minimum(ops.maximum(shares, layer[f"low_{j}"]), layer[f"high_{j}"])
        return ops.concat([shares, number])
    argument = number * layer[f"frequency_{j}"]
    if stage.kind == "pbld":
        return ops.cos(argument + layer[f"phase_{j}"])
    return ops.concat([ops.cos(argument), ops.sin(argument)])


def _below(ops: Ops, z: Value) -> Value:
    return ops.exp(ops.minimum(z, 0.0)) - 1.0


ACTIVATIONS: Mapping[str, Callable[[Ops, Value], Value]] = {
    "relu": lambda ops, z: ops.maximum(z, 0.0),
    "leaky_relu": lambda ops, z: ops.maximum(z, z * LEAK),
    "elu": lambda ops, z: ops.where(z > 0.0, z, _below(ops, z)),
    "gelu": lambda ops, z: z * 0.5 * (ops.erf(z * sqrt(0.5)) + 1.0),
    "silu": lambda ops, z: z * ops.sigmoid(z),
    "relu6": lambda ops, z: ops.minimum(ops.maximum(z, 0.0), 6.0),
    "tanh": lambda ops, z: ops.tanh(z),
    "sigmoid": lambda ops, z: ops.sigmoid(z),
    "selu": lambda ops, z: ops.where(z > 0.0, z * SELU_SCALE, _below(ops, z) * (SELU_SCALE * SELU_ALPHA)),
    "mish": lambda ops, z: z * ops.tanh(ops.softplus(z)),
}
"""By name; a test checks that none is missing."""
