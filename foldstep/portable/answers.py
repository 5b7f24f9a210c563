"""What a user reads of the raw outputs of networks, over any operations: probabilities, or values in their units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from foldstep.portable.normal import normal_cdf
from foldstep.portable.ops import Ops, Value
from foldstep.service.contract.probabilities import LEAST
from foldstep.worker.data.target import TargetCoder
from foldstep.worker.predictor import Predictor

State = tuple[float, ...]


def answer(ops: Ops, predictor: Predictor, raw: Value, *, is_corrected: bool) -> Value:
    """Compute probabilities or values, (rows, classes or values), float64; of counts those for an exposure of 1.

    Args:
        ops: the operations.
        predictor: the network.
        raw: its outputs, (rows, outputs).
        is_corrected: whether what class weights did to the probabilities is undone.
    """
    target, raw = predictor.target, ops.double(raw)
    if target.task == "multilabel":
        return ops.where(ops.abs(raw) < math.inf, ops.sigmoid(raw), math.nan)
    if target.classes is None:
        return _values(ops, target, raw)
    powers = ops.exp(raw - ops.greatest(raw))
    shares = powers / ops.total(powers)
    weights = predictor.class_weights
    if not is_corrected or weights is None:
        return shares
    shares = shares * ops.constant(weights.min() / weights, shares)
    return shares / ops.total(shares)


def tempered(ops: Ops, shares: Value, temperature: float) -> Value:
    """Divide the logarithms of probabilities by a temperature, as `contract.probabilities.tempered` does in NumPy."""
    if temperature == 1:
        return shares
    logs = ops.log(ops.maximum(shares, LEAST)) / temperature
    powers = ops.exp(logs - ops.greatest(logs))
    return powers / ops.total(powers)


def weighted_mean(answers: Sequence[Value], shares: Sequence[float]) -> Value:
    """Average the answers of networks, whose shares sum to 1."""
    total = answers[0] * shares[0]
    for one, share in zip(answers[1:], shares[1:], strict=True):
        total = total + one * share
    return total


def _values(ops: Ops, target: TargetCoder, raw: Value) -> Value:
    if target.each:
        return ops.concat([_values(ops, one, ops.columns(raw, [t])) for t, one in enumerate(target.each)])
    values = raw * target.scale + target.mean
    if target.transform != "none":
        values = UNDO[target.transform](ops, values, target.state)
    if target.link == "log":
        return ops.exp(values)
    values = ops.ascending(values) if target.quantiles else values
    return values if target.ends is None else _clip(ops, values, *target.ends)


def _clip(ops: Ops, x: Value, low: float, high: float) -> Value:
    return ops.minimum(ops.maximum(x, low), high)


def _undo_quantile(ops: Ops, scores: Value, state: State) -> Value:
    """Interpolate the quantiles, which are at equal distances, at each score's share."""
    last = len(state) - 1
    if last == 0:
        return scores * 0.0 + state[0]
    at = normal_cdf(ops, scores) * float(last)
    whole = _clip(ops, ops.floor(ops.where(ops.is_nan(at), 0.0, at)), 0.0, float(last - 1))
    quantiles = np.array(state)
    low, step = ops.constant(quantiles[:-1], at), ops.constant(np.diff(quantiles), at)
    return ops.gather(low, whole) + (at - whole) * ops.gather(step, whole)


def _undo_yeo_johnson(ops: Ops, transformed: Value, state: State) -> Value:
    mean, deviation, power, low, high = state
    y = _clip(ops, transformed, low, high)
    above, below = ops.maximum(y, 0.0), ops.maximum(y * -1.0, 0.0)
    return (_unpowered(ops, above, power) - _unpowered(ops, below, 2 - power)) * deviation + mean


def _unpowered(ops: Ops, size: Value, power: float) -> Value:
    if abs(power) < 1e-12:
        return ops.exp(size) - 1.0
    return ops.exp(ops.log(size * power + 1.0) / power) - 1.0


UNDO: Mapping[str, Callable[[Ops, Value, State], Value]] = {
    "log": lambda ops, values, _state: ops.exp(values),
    "quantile": _undo_quantile,
    "yeo_johnson": _undo_yeo_johnson,
}
"""By the name in the hyperparameter `target_transform`; a test checks that none is missing."""
