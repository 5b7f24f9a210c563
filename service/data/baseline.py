"""Compute the baseline of a search: the score of the constant answer in the search's metric.

For each fold the best constant is found on its training part and scored on its validation part; the baseline is the
mean over the folds, as the score of a trial is. For two classes and f1, for example, the best constant is always to
say the second class, whose f1 it is. With an exposure the constant is a rate, which each row's exposure multiplies, as
it does what a network says.

Importing this module fails if a metric of `models/catalog/metrics.py` has no formula here. The tests compare with
scikit-learn's dummies and with `models/metrics.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.losses import MEDIAN
from foldstep.models.catalog.metrics import LEAST_MEAN, METRICS, TWEEDIE_POWER, MeanOf, Metric
from foldstep.service.data.fold_targets import FoldTargets, Values

Counts: TypeAlias = npt.NDArray[Any]
"""The number of rows of each class, or their weight, (classes,)."""
_Floats: TypeAlias = npt.NDArray[np.float64]
_UNSEEN = 0.5
"""Training rows that a class without any counts as, so that its probability, and so log_loss, is finite."""


def baselines(metric: Metric, folds: FoldTargets) -> list[float]:
    """Compute the score of the constant answer in each fold; not finite where double precision has no room for it."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if folds.labels is not None:
            return [_OF_CLASSES[metric.name](train, valid) for train, valid in folds.weighted_counts]
        of = _OF_VALUES[metric.name]
        return [of(folds.values(train), folds.values(valid)) for train, valid in folds.folds]


def mean_over_folds(scores: list[float]) -> float:
    """Compute the mean of the folds' scores; infinite if it overflows."""
    try:
        return math.fsum(scores) / len(scores)
    except OverflowError:
        return math.inf


# -- classes ----------------------------------------------------------------------------------------------------------


def _accuracy(train: Counts, valid: Counts) -> float:
    return float(valid[train.argmax()] / valid.sum())


def _top_accuracy(k: int, train: Counts, valid: Counts) -> float:
    """Compute the score of the k commonest classes; of equally common ones the first."""
    return float(valid[np.argsort(-train, kind="stable")[:k]].sum() / valid.sum())


def _balanced_accuracy(train: Counts, valid: Counts) -> float:
    """Compute the score of always saying the commonest class: all of its own rows are right, and no others."""
    return float((valid[train.argmax()] > 0) / (valid > 0).sum())


def _f1(train: Counts, valid: Counts) -> float:
    """Compute the score of always saying one class: the second of two, the commonest of more."""
    said = 1 if len(train) == 2 else int(train.argmax())
    own = 2 * valid[said] / (valid[said] + valid.sum())
    is_averaged = valid > 0
    is_averaged[said] = True
    return float(own if len(train) == 2 else own / is_averaged.sum())


def _roc_auc(train: Counts, valid: Counts) -> float:  # noqa: ARG001
    """Return the score of equal rows: each pair is a tie."""
    return 0.5


def _log_loss(train: Counts, valid: Counts) -> float:
    """Compute the score of the classes' shares as probabilities."""
    seen = np.where(train > 0, train, _UNSEEN)
    return float(-(valid * np.log(seen / seen.sum())).sum() / valid.sum())


def _pr_auc(train: Counts, valid: Counts) -> float:  # noqa: ARG001
    """Return the score of equal rows: the precision is the class's share, at every recall."""
    shares = valid / valid.sum()
    if len(valid) == 2:
        return float(shares[1]) if 0 < shares[1] < 1 else math.nan
    is_averaged = (valid > 0) & (shares < 1)
    return float(shares[is_averaged].mean()) if is_averaged.any() else math.nan


def _mcc(train: Counts, valid: Counts) -> float:  # noqa: ARG001
    """Return the score of always saying one class, which tells nothing about the true ones."""
    return 0.0


def _brier(train: Counts, valid: Counts) -> float:
    """Compute the score of the classes' shares as probabilities."""
    p, there = train / train.sum(), valid / valid.sum()
    distance = float((p**2).sum() - 2 * (p * there).sum() + 1)
    return distance / 2 if len(valid) == 2 else distance


def _ordinal_mae(train: Counts, valid: Counts) -> float:
    """Compute the score of always saying the median class."""
    said = int(np.searchsorted(train.cumsum(), train.sum() / 2))
    return float((valid * np.abs(np.arange(len(valid)) - said)).sum() / valid.sum())


_ClassBaseline: TypeAlias = Callable[[Counts, Counts], float]
_CLASS_FORMULAS: Mapping[str, _ClassBaseline] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "mcc": _mcc,
    "log_loss": _log_loss,
    "brier": _brier,
    "ordinal_mae": _ordinal_mae,
}

# -- numbers ----------------------------------------------------------------------------------------------------------


def _least_squares(train: Values) -> float:
    """Find the constant, or the rate, with the least squared errors."""
    if train.exposure is None:
        return train.mean(train.target)
    return train.mean(train.target * train.exposure) / train.mean(np.square(train.exposure))


def _least_distances(train: Values) -> float:
    """Find the constant with the least absolute errors, the median; of rates the median weighted by exposure."""
    if train.exposure is None and train.weight is None:
        return float(np.median(train.target))
    return _quantile(train, 0.5)


def _quantile(train: Values, level: float, counted: _Floats | float = 1.0) -> float:
    """Find the constant with the least pinball loss of a level; of rates the quantile weighted by exposure.

    Args:
        train: the training part.
        level: of the quantile.
        counted: factor on the weights of the rows.
    """
    exposure = np.ones(len(train.target)) if train.exposure is None else train.exposure
    rates, weights = train.target / exposure, exposure * counted
    order = np.argsort(rates)
    reached = np.cumsum((weights if train.weight is None else weights * train.weight)[order])
    return float(rates[order][np.searchsorted(reached, reached[-1] * level)])


def _said(constant: float, valid: Values) -> _Floats:
    """List what is said of each row: the constant, times its exposure."""
    return np.full(len(valid.target), constant) if valid.exposure is None else constant * valid.exposure


_CONSTANTS: Mapping[MeanOf, Callable[[Values], float]] = {
    "squares": _least_squares,
    "distances": _least_distances,
}
"""By the quantity that a metric averages over the rows, the constant for which the training part has the least."""
_OF_ROW: Mapping[MeanOf, Callable[[_Floats], Any]] = {"squares": np.square, "distances": np.abs}
_FINISHES: Mapping[str, Callable[[float, float], float]] = {
    "mse": lambda mean, _: mean,
    "rmse": lambda mean, _: math.sqrt(mean),
    "r2": lambda mean, variance: 1 - mean / variance,
    "mae": lambda mean, _: mean,
}
"""By name, the formula of each metric with a `mean_of`, from the mean and the variance of the truth."""


def _of_errors(name: str, mean_of: MeanOf, train: Values, valid: Values) -> float:
    errors = _said(_CONSTANTS[mean_of](train), valid) - valid.target
    variance = valid.mean(np.square(valid.target - valid.mean(valid.target)))
    return float(_FINISHES[name](valid.mean(_OF_ROW[mean_of](errors)), variance))


def _means(train: Values, valid: Values, power: float) -> _Floats:
    """Predict each row by the rate with the least deviance of a power: the root of its derivative by the rate."""
    exposure = np.ones(len(train.target)) if train.exposure is None else train.exposure
    rate = train.mean(train.target * exposure ** (1 - power)) / train.mean(exposure ** (2 - power))
    return _said(rate, valid).clip(min=LEAST_MEAN)


def _poisson_deviance(train: Values, valid: Values) -> float:
    """Compute the score of the mean rate, the sum of the counts over that of the exposures."""
    y, p = valid.target, _means(train, valid, 1)
    log_ratio = np.log(np.where(y > 0, y / p, 1.0))
    return 2 * valid.mean(y * log_ratio - y + p)


def _gamma_deviance(train: Values, valid: Values) -> float:
    """Compute the score of the mean of the rows' rates."""
    ratio = valid.target / _means(train, valid, 2)
    return 2 * valid.mean(ratio - np.log(ratio) - 1)


def _tweedie_deviance(train: Values, valid: Values) -> float:
    """Compute the score of the rate with the least deviance."""
    y, p, one, two = valid.target, _means(train, valid, TWEEDIE_POWER), 1 - TWEEDIE_POWER, 2 - TWEEDIE_POWER
    return 2 * valid.mean(y**two / (one * two) - y * p**one / one + p**two / two)


def _mape(train: Values, valid: Values) -> float:
    """Compute the score of the median weighted by 1 / target."""
    said = _said(_quantile(train, 0.5, 1 / train.target), valid)
    return valid.mean(np.abs(said - valid.target) / valid.target)


def _rmsle(train: Values, valid: Values) -> float:
    """Compute the score of the constant, or the rate, with the least error of log(1 + target)."""
    if train.exposure is None:
        constant = math.expm1(train.mean(np.log1p(train.target)))
    else:
        constant = _least_logarithms(train, float((train.target / train.exposure).max()))
    return math.sqrt(valid.mean(np.square(np.log1p(_said(constant, valid)) - np.log1p(valid.target))))


def _least_logarithms(train: Values, greatest: float) -> float:
    """Search the rate from 0 to the greatest one, where the derivative is 0: with exposures there is no formula."""
    from scipy.optimize import brentq  # takes a third of a second to import

    exposure = train.exposure
    assert exposure is not None

    def slope(rate: float) -> float:
        said = rate * exposure
        return train.mean((np.log1p(said) - np.log1p(train.target)) * exposure / (1 + said))

    return float(brentq(slope, 0.0, greatest, xtol=1e-15, rtol=1e-14)) if greatest > 0 else 0.0


def _pinball(train: Values, valid: Values) -> float:
    """Compute the score of the training part's quantiles."""
    losses = []
    for level in train.levels or MEDIAN:
        error = valid.target - _said(_quantile(train, level), valid)
        losses.append(valid.mean(np.maximum(level * error, (level - 1) * error)))
    return float(np.mean(losses))


_ValueBaseline: TypeAlias = Callable[[Values, Values], float]
_VALUE_FORMULAS: Mapping[str, _ValueBaseline] = {
    "poisson_deviance": _poisson_deviance,
    "gamma_deviance": _gamma_deviance,
    "tweedie_deviance": _tweedie_deviance,
    "pinball": _pinball,
    "mape": _mape,
    "rmsle": _rmsle,
}


def class_formula(metric: Metric) -> _ClassBaseline:
    """Find the formula of a metric of classes, from the counts of the training and of the validation part.

    Raises:
        NotImplementedError: this module has none.
    """
    if metric.within > 1:
        return partial(_top_accuracy, metric.within)
    if metric.name not in _CLASS_FORMULAS:
        raise NotImplementedError(f"service/data/baseline.py has no constant answer for the metric {metric.name}")
    return _CLASS_FORMULAS[metric.name]


def value_formula(metric: Metric) -> _ValueBaseline:
    """Find the formula of a metric of numbers, from the training and the validation part.

    Raises:
        NotImplementedError: this module has none.
    """
    if metric.name in _VALUE_FORMULAS:
        return _VALUE_FORMULAS[metric.name]
    if metric.mean_of is None or metric.mean_of not in _CONSTANTS or metric.name not in _FINISHES:
        raise NotImplementedError(f"service/data/baseline.py has no constant answer for the metric {metric.name}")
    return partial(_of_errors, metric.name, metric.mean_of)


_OF_CLASSES = {m.name: class_formula(m) for m in METRICS.values() if m.task == "classification"}
_OF_VALUES = {m.name: value_formula(m) for m in METRICS.values() if m.task == "regression"}
