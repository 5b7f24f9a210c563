"""Transforms of a regression's target, fitted on its training rows, and their inverses for predictions.

A transform is a formula and a state of numbers; both are in a checkpoint. A new one is a class and a row in
`TRANSFORMS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldstep.worker.data.scalers import N_QUANTILES, Matrix, normal_scores

Numbers = npt.NDArray[np.float64]
State = tuple[float, ...]


@dataclass(frozen=True)
class TargetTransform:
    """How a target is transformed before it is standardised, and back.

    Attributes:
        fit: values of the training rows, (rows,), to the state.
        apply: values and state to transformed values.
        undo: transformed values and state to values; any shape.
    """

    fit: Callable[[Numbers], State]
    apply: Callable[[Numbers, State], Numbers]
    undo: Callable[[Numbers, State], Numbers]


def _exp(values: Numbers, _state: State) -> Numbers:
    with np.errstate(over="ignore"):  # an infinite prediction is scored as one
        return np.asarray(np.exp(values))


def _fit_quantile(values: Numbers) -> State:
    shares = np.linspace(0, 100, min(N_QUANTILES, len(values)))
    return tuple(np.percentile(values, shares).tolist())


def _undo_quantile(scores: Numbers, state: State) -> Numbers:
    """Find the quantile at each score's share; beyond the training part's values, the nearest of them."""
    from scipy.special import ndtr  # imported in a sixth of a second, which other transforms need not wait for

    return np.asarray(np.interp(ndtr(scores), np.linspace(0, 1, len(state)), state))


def _fit_yeo_johnson(values: Numbers) -> State:
    """Fit the power of Yeo and Johnson (2000) by maximum likelihood on the standardised values.

    Returns:
        Mean, deviation, power, and the transformed values beyond which `undo` does not go: those of the training
        part's ends, each moved out by its range. Beyond them the inverse grows without bound, or has no value.
    """
    from scipy.stats import yeojohnson_normmax

    mean, deviation = float(values.mean()), float(values.std())
    if deviation <= 10 * np.finfo(np.float64).eps * abs(mean):
        return mean, 1.0, 1.0, -1.0, 1.0
    z = (values - mean) / deviation
    power, width = float(yeojohnson_normmax(z)), float(np.ptp(z))
    low, high = _yeo_johnson(np.array([z.min() - width, z.max() + width]), power).tolist()
    return mean, deviation, power, low, high


def _apply_yeo_johnson(values: Numbers, state: State) -> Numbers:
    return _yeo_johnson((values - state[0]) / state[1], state[2])


def _undo_yeo_johnson(transformed: Numbers, state: State) -> Numbers:
    mean, deviation, power, low, high = state
    y = np.clip(transformed, low, high)  # keeps what is not a number
    above, below = np.maximum(y, 0), np.maximum(-y, 0)
    return mean + deviation * (_unpowered(above, power) - _unpowered(below, 2 - power))


def _yeo_johnson(z: Numbers, power: float) -> Numbers:
    """Compute ((1 + z)^p - 1) / p above 0, and -((1 - z)^(2 - p) - 1) / (2 - p) below; logs where a power is 0."""
    return _powered(np.maximum(z, 0), power) - _powered(np.maximum(-z, 0), 2 - power)


def _powered(size: Numbers, power: float) -> Numbers:
    logs = np.log1p(size)
    return np.asarray(logs if abs(power) < 1e-12 else np.expm1(power * logs) / power)


def _unpowered(size: Numbers, power: float) -> Numbers:
    return np.asarray(np.expm1(size if abs(power) < 1e-12 else np.log1p(power * size) / power))


def _scores(values: Numbers, state: State) -> Matrix:
    return normal_scores(values, np.array(state))


TRANSFORMS: Mapping[str, TargetTransform] = {
    "log": TargetTransform(lambda _: (), lambda values, _: np.asarray(np.log(values)), _exp),
    "quantile": TargetTransform(_fit_quantile, _scores, _undo_quantile),
    "yeo_johnson": TargetTransform(_fit_yeo_johnson, _apply_yeo_johnson, _undo_yeo_johnson),
}
"""By the name in the hyperparameter `target_transform`; a test checks that the names are equal."""
