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

from foldstep.models.catalog.metrics import METRICS, MeanOf, Metric
from foldstep.service.data.fold_targets import FoldTargets, Values

Counts: TypeAlias = npt.NDArray[np.int64]
"""The number of rows of each class, (classes,)."""
_Floats: TypeAlias = npt.NDArray[np.float64]
_UNSEEN = 0.5
"""Training rows that a class without any counts as, so that its probability, and so log_loss, is finite."""
_LEAST_MEAN = 1e-9
"""The least mean of a count, as in `models/metrics.py`."""


def baselines(metric: Metric, folds: FoldTargets) -> list[float]:
    """Compute the score of the constant answer in each fold; not finite where double precision has no room for it."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if folds.labels is not None:
            return [_OF_CLASSES[metric.name](train, valid) for train, valid in folds.counts]
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


_ClassBaseline: TypeAlias = Callable[[Counts, Counts], float]
_CLASS_FORMULAS: Mapping[str, _ClassBaseline] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
}

# -- numbers ----------------------------------------------------------------------------------------------------------


def _least_squares(train: Values) -> float:
    """Find the constant, or the rate, with the least squared errors."""
    if train.exposure is None:
        return float(train.target.mean())
    return float((train.target * train.exposure).sum() / np.square(train.exposure).sum())


def _least_distances(train: Values) -> float:
    """Find the constant with the least absolute errors, the median; of rates the median weighted by exposure."""
    if train.exposure is None:
        return float(np.median(train.target))
    rates = train.target / train.exposure
    order = np.argsort(rates)
    reached = np.cumsum(train.exposure[order])
    return float(rates[order][np.searchsorted(reached, reached[-1] / 2)])


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
    return float(_FINISHES[name](_OF_ROW[mean_of](errors).mean(), valid.target.var()))


def _poisson_deviance(train: Values, valid: Values) -> float:
    """Compute the score of the mean rate, the sum of the counts over that of the exposures."""
    exposed = len(train.target) if train.exposure is None else train.exposure.sum()
    y, p = valid.target, _said(float(train.target.sum() / exposed), valid).clip(min=_LEAST_MEAN)
    log_ratio = np.log(np.where(y > 0, y / p, 1.0))
    return float(2 * (y * log_ratio - y + p).mean())


_ValueBaseline: TypeAlias = Callable[[Values, Values], float]
_VALUE_FORMULAS: Mapping[str, _ValueBaseline] = {"poisson_deviance": _poisson_deviance}


def class_formula(metric: Metric) -> _ClassBaseline:
    """Find the formula of a metric of classes, from the counts of the training and of the validation part.

    Raises:
        NotImplementedError: this module has none.
    """
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
