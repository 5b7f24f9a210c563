"""Score the predictions of many answers at once, in NumPy: the master, which chooses ensembles, has no PyTorch.

The same metrics as `models/metrics.py`, which scores what networks in training put out; here it is probabilities and
values. Importing this module fails if a metric of `models/catalog/metrics.py` has no function here; a test holds that
both score alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.losses import MEDIAN
from foldstep.models.catalog.metrics import LEAST_MEAN, METRICS, TWEEDIE_POWER
from foldstep.models.catalog.tasks import Task

Answers: TypeAlias = npt.NDArray[Any]
"""What several answers say, (answers, outputs, rows)."""
_Floats: TypeAlias = npt.NDArray[np.float64]
_LEAST_PROBABILITY = 1e-30
"""What a probability is raised to where its logarithm is taken: in float32 it may be 0, which no network says."""


@dataclass(frozen=True)
class Truth:
    """What predictions are scored against.

    Attributes:
        values: (rows,) class numbers or values; of several targets (rows, targets).
        weight: (rows,); None for equal weights.
        levels: of the quantiles that are predicted; none for one value.
    """

    values: npt.NDArray[Any]
    weight: _Floats | None = None
    levels: tuple[float, ...] = ()

    def of(self, target: int) -> Truth:
        """Take one of several targets."""
        return Truth(self.values[:, target], self.weight, self.levels)

    def mean(self, values: npt.NDArray[Any]) -> _Floats:
        """Average (..., rows) over the rows, by their weights."""
        return np.asarray(values.mean(axis=-1) if self.weight is None else values @ (self.weight / self.weight.sum()))

    @property
    def counted(self) -> _Floats:
        """How much each row counts, (rows,)."""
        return np.ones(len(self.values)) if self.weight is None else self.weight


def scores(metric: str, task: Task, said: Answers, truth: Truth) -> _Floats:
    """Score several answers.

    Args:
        metric: a name in `METRICS`.
        task: of the predictions.
        said: probabilities of classes, or of each label's second class; or values, see `FoldPredictions.predictions`.
        truth: of the rows.

    Returns:
        (answers,); not finite where the metric has no value.
    """
    with np.errstate(all="ignore"):
        if truth.values.ndim == 2:
            each = [_scores_of_target(metric, task, said[:, t], truth.of(t)) for t in range(truth.values.shape[1])]
            return np.asarray(sum(each) / len(each))
        if task != "classification":
            return _VALUES[metric](said if truth.levels else said[:, 0], truth)
        return _CLASSES[metric](said, truth)


def _scores_of_target(metric: str, task: Task, said: npt.NDArray[Any], truth: Truth) -> _Floats:
    """Score one of several targets, (answers, rows): of a label its second class's probability is known."""
    if task == "multilabel":
        return _CLASSES[metric](np.stack([1 - said, said], axis=1), truth)
    return _VALUES[metric](said, truth)


# -- classes ----------------------------------------------------------------------------------------------------------


def _accuracy(said: Answers, truth: Truth) -> _Floats:
    return truth.mean(said.argmax(axis=1) == truth.values)


def _top_accuracy(k: int, said: Answers, truth: Truth) -> _Floats:
    """Average over the rows whether fewer than k classes come before the true one; of equal ones the first does."""
    own = said[:, truth.values, np.arange(len(truth.values))][:, None]
    is_earlier = np.arange(said.shape[1])[:, None] < truth.values
    before = (said > own) | ((said == own) & is_earlier)
    return truth.mean(before.sum(axis=1) < k)


def _counts(said: Answers, truth: Truth) -> tuple[_Floats, _Floats, _Floats]:
    """Weigh the rows rightly predicted, predicted, and truly of each class, (answers, classes) each."""
    classes = np.arange(said.shape[1])[:, None]
    predicted = said.argmax(axis=1)[:, None] == classes
    there = truth.values == classes
    right, all_said = ((hit @ truth.counted) for hit in (predicted & there, predicted))
    return right, all_said, np.broadcast_to(there @ truth.counted, right.shape)


def _balanced_accuracy(said: Answers, truth: Truth) -> _Floats:
    right, _, there = _counts(said, truth)
    return np.asarray((right / np.where(there > 0, there, 1)).sum(axis=1) / (there > 0).sum(axis=1))


def _f1(said: Answers, truth: Truth) -> _Floats:
    right, predicted, there = _counts(said, truth)
    both = predicted + there
    f1 = 2 * right / np.where(both > 0, both, 1)
    return np.asarray(f1[:, 1] if said.shape[1] == 2 else f1.sum(axis=1) / (both > 0).sum(axis=1))


def _mcc(said: Answers, truth: Truth) -> _Floats:
    right, predicted, there = _counts(said, truth)
    rows = there.sum(axis=1)
    shared = right.sum(axis=1) * rows - (predicted * there).sum(axis=1)
    spread = (rows**2 - (predicted**2).sum(axis=1)) * (rows**2 - (there**2).sum(axis=1))
    return np.where(spread > 0, shared / np.sqrt(np.where(spread > 0, spread, 1)), 0.0)


def _log_loss(said: Answers, truth: Truth) -> _Floats:
    own = said[:, truth.values, np.arange(len(truth.values))].astype(np.float64)
    return -truth.mean(np.log(np.maximum(own, _LEAST_PROBABILITY)))


def _brier(said: Answers, truth: Truth) -> _Floats:
    own = said[:, truth.values, np.arange(len(truth.values))].astype(np.float64)
    distance = truth.mean(np.square(said, dtype=np.float64).sum(axis=1) - 2 * own + 1)
    return distance / 2 if said.shape[1] == 2 else distance


def _ordinal_mae(said: Answers, truth: Truth) -> _Floats:
    return truth.mean(np.abs(said.argmax(axis=1) - truth.values))


def _roc_auc(said: Answers, truth: Truth) -> _Floats:
    return _against_the_rest(_auc, said, truth)


def _pr_auc(said: Answers, truth: Truth) -> _Floats:
    return _against_the_rest(_average_precision, said, truth)


_Area: TypeAlias = Callable[[_Floats, npt.NDArray[np.bool_], _Floats], float]


def _against_the_rest(area: _Area, said: Answers, truth: Truth) -> _Floats:
    """Average an area over the classes, each against the rest; of two classes take the second one's."""
    n_classes = said.shape[1]
    if n_classes == 2:  # the ratio tells apart what rounds to 1 in float32
        return _areas(area, np.log(said[:, 1], dtype=np.float64) - np.log(said[:, 0], dtype=np.float64), truth, 1)
    of_class = [_areas(area, said[:, c], truth, c) for c in range(n_classes) if 0 < (truth.values == c).mean() < 1]
    return np.asarray(sum(of_class) / len(of_class)) if of_class else np.full(len(said), np.nan)


def _areas(area: _Area, decisions: npt.NDArray[Any], truth: Truth, positive: int) -> _Floats:
    return np.array([area(decision, truth.values == positive, truth.counted) for decision in decisions])


def _auc(decision: _Floats, positive: npt.NDArray[np.bool_], weight: _Floats) -> float:
    """Compute the share of the weight of pairs in the right order, half of it for ties (Hanley and McNeil 1982)."""
    ranks, of_row = np.unique(decision, return_inverse=True)
    own, other = (np.bincount(of_row, weight * part, len(ranks)) for part in (positive, ~positive))
    below = other.cumsum() - other / 2
    pairs = own.sum() * other.sum()
    return float((own * below).sum() / pairs) if pairs > 0 else float("nan")


def _average_precision(decision: _Floats, positive: npt.NDArray[np.bool_], weight: _Floats) -> float:
    """Average over the positive rows the precision of all rows at least as high."""
    ranks, of_row = np.unique(-decision, return_inverse=True)
    own, every = (np.bincount(of_row, weight * part, len(ranks)) for part in (positive, np.ones(len(weight))))
    if not 0 < own.sum() < every.sum():
        return float("nan")
    return float((own * own.cumsum() / every.cumsum()).sum() / own.sum())


# -- numbers ----------------------------------------------------------------------------------------------------------


def _mse(said: Answers, truth: Truth) -> _Floats:
    return truth.mean(np.square(said - truth.values))


def _r2(said: Answers, truth: Truth) -> _Floats:
    return np.asarray(1 - _mse(said, truth) / truth.mean(np.square(truth.values - truth.mean(truth.values))))


def _mape(said: Answers, truth: Truth) -> _Floats:
    return truth.mean(np.abs((said - truth.values) / truth.values))


def _rmsle(said: Answers, truth: Truth) -> _Floats:
    error = np.log1p(np.maximum(said, 0)) - np.log1p(truth.values)
    return np.sqrt(truth.mean(np.square(error)))


def _pinball(said: Answers, truth: Truth) -> _Floats:
    levels = truth.levels or MEDIAN
    error = truth.values - said.reshape(len(said), len(levels), -1)
    level = np.array(levels)[:, None]
    return np.asarray(truth.mean(np.maximum(level * error, (level - 1) * error)).mean(axis=1))


def _poisson_deviance(said: Answers, truth: Truth) -> _Floats:
    y, p = truth.values, np.maximum(said, LEAST_MEAN)
    return 2 * truth.mean(y * np.log(np.where(y > 0, y / p, 1)) - y + p)


def _gamma_deviance(said: Answers, truth: Truth) -> _Floats:
    ratio = truth.values / np.maximum(said, LEAST_MEAN)
    return 2 * truth.mean(ratio - np.log(ratio) - 1)


def _tweedie_deviance(said: Answers, truth: Truth) -> _Floats:
    y, p, one, two = truth.values, np.maximum(said, LEAST_MEAN), 1 - TWEEDIE_POWER, 2 - TWEEDIE_POWER
    return 2 * truth.mean(y**two / (one * two) - y * p**one / one + p**two / two)


_Scores: TypeAlias = Callable[[Answers, Truth], _Floats]
_CLASSES: Mapping[str, _Scores] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "mcc": _mcc,
    "log_loss": _log_loss,
    "brier": _brier,
    "ordinal_mae": _ordinal_mae,
    **{metric.name: partial(_top_accuracy, metric.within) for metric in METRICS.values() if metric.within > 1},
}
_VALUES: Mapping[str, _Scores] = {
    "rmse": lambda said, truth: np.sqrt(_mse(said, truth)),
    "mse": _mse,
    "mae": lambda said, truth: truth.mean(np.abs(said - truth.values)),
    "r2": _r2,
    "mape": _mape,
    "rmsle": _rmsle,
    "pinball": _pinball,
    "poisson_deviance": _poisson_deviance,
    "gamma_deviance": _gamma_deviance,
    "tweedie_deviance": _tweedie_deviance,
}


def check_all(names: Sequence[str]) -> None:
    """Refuse a metric without a function.

    Raises:
        NotImplementedError: there is one.
    """
    missing = [name for name in names if name not in (_CLASSES if METRICS[name].task == "classification" else _VALUES)]
    if missing:
        raise NotImplementedError(f"service/analysis/scores.py has no function for the metric {', '.join(missing)}")


check_all(list(METRICS))
