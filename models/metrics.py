"""Compute validation metrics for all members of a pack at once, in double precision and the user's own units.

Each function takes predictions and truths and returns one number for each member. The properties of the metrics are in
`models/catalog/metrics.py`; importing this module fails if a metric of that table has no function here. The tests
compare with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from foldstep.models.catalog.metrics import METRICS, MeanOf, Metric

_Metric = Callable[[Tensor, Tensor], Tensor]
Finish = Callable[[Tensor, Tensor], Tensor]
"""Maps (mean over the rows, variance of the truth) to the metric."""

_FINISHES: Mapping[str, Finish] = {
    "accuracy": lambda mean, _: mean,
    "mse": lambda mean, _: mean,
    "rmse": lambda mean, _: mean.sqrt(),
    "r2": lambda mean, variance: 1 - mean / variance,
    "mae": lambda mean, _: mean,
}
"""By name, the formula of each metric with a `mean_of`. The mean may be computed elsewhere, as the C++ library does."""


def score_classes(metric: str, logits: Tensor, truth: Tensor) -> Tensor:
    """Score a classification.

    Args:
        metric: name of a metric for classification.
        logits: (members, classes, rows).
        truth: (rows,) int64, the class of each row.

    Returns:
        (members,) float64; nan where a member's logits are not finite.
    """
    logits = logits.double()
    scores = _SCORES[metric](logits, truth)
    return scores.masked_fill(~torch.isfinite(logits).all(dim=2).all(dim=1), float("nan"))


def score_values(metric: str, predictions: Tensor, truth: Tensor) -> Tensor:
    """Score a regression.

    Args:
        metric: name of a metric for regression.
        predictions: (members, rows) float64 in the target's units.
        truth: (rows,) float64.

    Returns:
        (members,) float64; not finite where a member's predictions are not.
    """
    return _SCORES[metric](predictions, truth)


def finish(metric: str, mean: Tensor, variance: Tensor) -> Tensor:
    """Compute a metric from the mean over the rows that determines it.

    Args:
        metric: name of a metric with a `mean_of`.
        mean: mean over the rows of the quantity `mean_of`, (members,).
        variance: variance of the truth, (members,) or a scalar.
    """
    return _FINISHES[metric](mean, variance)


def _predicted(logits: Tensor) -> Tensor:
    # the first of equal logits, as with argmax, which takes nine times as long along this axis
    return logits.max(dim=1).indices


def _accuracy(logits: Tensor, truth: Tensor) -> Tensor:
    return (_predicted(logits) == truth).double().mean(dim=1)


def _counts(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count the rows rightly predicted, predicted, and truly of each class, (members, classes) each."""
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, 1)
    predicted = _predicted(logits).unsqueeze(1) == classes
    there = truth == classes
    return (
        (predicted & there).sum(dim=2).double(),
        predicted.sum(dim=2).double(),
        there.sum(dim=1).double().expand(len(logits), -1),
    )


def _balanced_accuracy(logits: Tensor, truth: Tensor) -> Tensor:
    right, _, there = _counts(logits, truth)
    present = there > 0
    return torch.where(present, right / there.clamp(min=1), 0).sum(dim=1) / present.sum(dim=1)


def _f1(logits: Tensor, truth: Tensor) -> Tensor:
    right, predicted, there = _counts(logits, truth)
    both = predicted + there
    f1 = torch.where(both > 0, 2 * right / both.clamp(min=1), 0)
    if logits.shape[1] == 2:
        return f1[:, 1]
    present = both > 0
    return f1.sum(dim=1) / present.sum(dim=1)


def _log_loss(logits: Tensor, truth: Tensor) -> Tensor:
    log_p = torch.log_softmax(logits, dim=1)
    index = truth.view(1, 1, -1).expand(len(logits), 1, -1)
    return -log_p.gather(1, index).squeeze(1).mean(dim=1)


def _roc_auc(logits: Tensor, truth: Tensor) -> Tensor:
    if logits.shape[1] == 2:
        return _auc(logits[:, 1] - logits[:, 0], truth == 1)
    # rows last but one: along a strided axis torch rounds some rows otherwise, and equal rows would not be ties
    p = torch.softmax(logits.transpose(1, 2).contiguous(), dim=2).transpose(1, 2)
    present = [c for c in range(logits.shape[1]) if 0 < int((truth == c).sum()) < len(truth)]
    if not present:
        return torch.full((len(logits),), float("nan"), dtype=torch.float64, device=logits.device)
    return torch.stack([_auc(p[:, c], truth == c) for c in present]).mean(dim=0)


def _auc(decision: Tensor, positive: Tensor) -> Tensor:
    """Compute the area under the ROC curve by the Mann-Whitney statistic with midranks (Hanley and McNeil 1982).

    Shape:
        decision (members, rows), positive (rows,) bool, result (members,).
    """
    ordered = decision.sort(dim=1).values
    at = decision.contiguous()
    below = torch.searchsorted(ordered, at)
    upto = torch.searchsorted(ordered, at, right=True)
    midrank = (below + upto + 1).double() / 2
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    statistic = midrank[:, positive].sum(dim=1) - n_positive * (n_positive + 1) / 2
    return statistic / (n_positive * n_negative) if n_positive and n_negative else statistic * float("nan")


def _of_errors(metric: str, of_row: Callable[[Tensor], Tensor], predictions: Tensor, truth: Tensor) -> Tensor:
    return finish(metric, of_row(predictions - truth).mean(dim=1), truth.var(correction=0))


def _poisson_deviance(predictions: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean of 2 (y log(y / p) - y + p), McCullagh and Nelder (1989, 2.3), with p at least 1e-9."""
    p = predictions.clamp(min=1e-9)
    return 2 * (torch.xlogy(truth, truth / p) - truth + p).mean(dim=1)


_OF_ROW: Mapping[MeanOf, Callable[[Tensor], Tensor]] = {"squares": torch.square, "distances": torch.abs}
"""Maps the errors of a regression to the quantity that is averaged over the rows."""
_FUNCTIONS: Mapping[str, _Metric] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
    "poisson_deviance": _poisson_deviance,
}


def score_of(metric: Metric) -> _Metric:
    """Find the function of a metric.

    Raises:
        NotImplementedError: this module has no function for the metric.
    """
    if metric.mean_of is not None and metric.name not in _FINISHES:
        raise NotImplementedError(f"models/metrics.py does not say how {metric.name} follows from a mean over the rows")
    if metric.name in _FUNCTIONS:
        return _FUNCTIONS[metric.name]
    if metric.mean_of is None or metric.mean_of not in _OF_ROW:
        raise NotImplementedError(f"models/metrics.py has no function for the metric {metric.name}")
    return partial(_of_errors, metric.name, _OF_ROW[metric.mean_of])


_SCORES: Mapping[str, _Metric] = {metric.name: score_of(metric) for metric in METRICS.values()}
