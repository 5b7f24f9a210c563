"""Compute validation metrics for all members of a pack at once, in double precision and the user's own units.

Each function takes predictions and truths and returns one number for each member. The properties of the metrics are in
`models/catalog/metrics.py`; importing this module fails if a metric of that table has no function here. The tests
compare with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from foldstep.models.catalog.metrics import LEAST_MEAN, METRICS, TWEEDIE_POWER, MeanOf, Metric

Weights: TypeAlias = Tensor | None
"""How much each row counts, (rows,) float64; None for equal weights."""
_Metric: TypeAlias = Callable[[Tensor, Tensor, Weights], Tensor]
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


def score_classes(metric: str, logits: Tensor, truth: Tensor, weights: Weights = None) -> Tensor:
    """Score a classification.

    Args:
        metric: name of a metric for classification.
        logits: (members, classes, rows).
        truth: (rows,) int64, the class of each row.
        weights: of the rows.

    Returns:
        (members,) float64; nan where a member's logits are not finite.
    """
    logits = logits.double()
    scores = _SCORES[metric](logits, truth, weights)
    return scores.masked_fill(~torch.isfinite(logits).all(dim=2).all(dim=1), float("nan"))


def score_values(
    metric: str, predictions: Tensor, truth: Tensor, weights: Weights = None, levels: Sequence[float] = ()
) -> Tensor:
    """Score a regression.

    Args:
        metric: name of a metric for regression.
        predictions: (members, rows) float64 in the target's units; for levels (members, levels, rows).
        truth: (rows,) float64.
        weights: of the rows.
        levels: of the quantiles that are predicted, which `pinball` scores; none where one value is predicted.

    Returns:
        (members,) float64; not finite where a member's predictions are not.
    """
    if levels:
        assert METRICS[metric].has_levels, f"{metric} scores no quantiles"
        return _pinball(predictions, truth, weights, levels)
    return _SCORES[metric](predictions, truth, weights)


def finish(metric: str, mean: Tensor, variance: Tensor) -> Tensor:
    """Compute a metric from the mean over the rows that determines it.

    Args:
        metric: name of a metric with a `mean_of`.
        mean: mean over the rows of the quantity `mean_of`, (members,).
        variance: variance of the truth, (members,) or a scalar.
    """
    return _FINISHES[metric](mean, variance)


def mean_of_rows(values: Tensor, weights: Weights) -> Tensor:
    """Average (..., rows) over the rows, by their weights."""
    return values.mean(dim=-1) if weights is None else (values * weights).sum(dim=-1) / weights.sum()


def variance_of_rows(truth: Tensor, weights: Weights) -> Tensor:
    """Compute the variance of (rows,), by their weights."""
    if weights is None:
        return truth.var(correction=0)
    return mean_of_rows((truth - mean_of_rows(truth, weights)).square_(), weights)


def _predicted(logits: Tensor) -> Tensor:
    # the first of equal logits, as with argmax, which takes nine times as long along this axis
    return logits.max(dim=1).indices


def _accuracy(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return mean_of_rows((_predicted(logits) == truth).double(), weights)


def _top_accuracy(k: int, logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Average over the rows whether fewer than k classes come before the true one; of equal ones the first does."""
    own = logits.gather(1, truth.view(1, 1, -1).expand(len(logits), 1, -1))
    is_earlier = torch.arange(logits.shape[1], device=logits.device).view(-1, 1) < truth
    before = (logits > own) | ((logits == own) & is_earlier)
    return mean_of_rows((before.sum(dim=1) < k).double(), weights)


def _counts(logits: Tensor, truth: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor]:
    """Count or weigh the rows rightly predicted, predicted, and truly of each class, (members, classes) each."""
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, 1)
    predicted = _predicted(logits).unsqueeze(1) == classes
    there = (truth == classes).expand(len(logits), -1, -1)
    hits = (predicted & there, predicted, there)
    right, said, true = (hit.sum(dim=2).double() if weights is None else (hit * weights).sum(dim=2) for hit in hits)
    return right, said, true


def _balanced_accuracy(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    right, _, there = _counts(logits, truth, weights)
    present = there > 0
    return torch.where(present, right / torch.where(present, there, 1), 0).sum(dim=1) / present.sum(dim=1)


def _f1(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    right, predicted, there = _counts(logits, truth, weights)
    both = predicted + there
    f1 = torch.where(both > 0, 2 * right / torch.where(both > 0, both, 1), 0)
    if logits.shape[1] == 2:
        return f1[:, 1]
    present = both > 0
    return f1.sum(dim=1) / present.sum(dim=1)


def _log_loss(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    log_p = torch.log_softmax(logits, dim=1)
    index = truth.view(1, 1, -1).expand(len(logits), 1, -1)
    return -mean_of_rows(log_p.gather(1, index).squeeze(1), weights)


def _roc_auc(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return _against_the_rest(_auc if weights is None else partial(_weighted_auc, weights), logits, truth)


def _pr_auc(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return _against_the_rest(partial(_average_precision, weights), logits, truth)


def _against_the_rest(area: Callable[[Tensor, Tensor], Tensor], logits: Tensor, truth: Tensor) -> Tensor:
    """Average an area of decisions over the classes, each against the rest; of two classes take the second one's."""
    if logits.shape[1] == 2:
        return area(logits[:, 1] - logits[:, 0], truth == 1)
    # rows last but one: along a strided axis torch rounds some rows otherwise, and equal rows would not be ties
    p = torch.softmax(logits.transpose(1, 2).contiguous(), dim=2).transpose(1, 2)
    present = [c for c in range(logits.shape[1]) if 0 < int((truth == c).sum()) < len(truth)]
    if not present:
        return torch.full((len(logits),), float("nan"), dtype=torch.float64, device=logits.device)
    return torch.stack([area(p[:, c], truth == c) for c in present]).mean(dim=0)


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


def _weighted_auc(weights: Tensor, decision: Tensor, positive: Tensor) -> Tensor:
    """Compute the share of the weight of pairs in the right order, half of it for ties; shapes as in `_auc`."""
    ordered, order = decision.sort(dim=1)
    negative = (weights * ~positive)[order].cumsum(dim=1)
    reached = torch.cat([torch.zeros_like(negative[:, :1]), negative], dim=1)
    at = decision.contiguous()
    below = reached.gather(1, torch.searchsorted(ordered, at))
    upto = reached.gather(1, torch.searchsorted(ordered, at, right=True))
    in_order = ((below + upto) / 2 * (weights * positive)).sum(dim=1)
    return in_order / (weights[positive].sum() * weights[~positive].sum())  # nan where either has no rows


def _average_precision(weights: Weights, decision: Tensor, positive: Tensor) -> Tensor:
    """Average over the positive rows the precision of all rows at least as high, as scikit-learn does for ties.

    Shape:
        decision (members, rows), positive (rows,) bool, result (members,).
    """
    weights = torch.ones_like(decision[0]) if weights is None else weights
    if not positive.any() or positive.all():
        return torch.full_like(decision[:, 0], float("nan"))
    ordered, order = decision.sort(dim=1, descending=True)
    all_rows, right = (of[order].cumsum(dim=1) for of in (weights, weights * positive))
    last = torch.searchsorted(-ordered, -decision, right=True) - 1  # of the rows that are at least as high
    precision = right.gather(1, last) / all_rows.gather(1, last)
    return (precision * (weights * positive)).sum(dim=1) / weights[positive].sum()


def _mcc(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Compute R_K of Gorodkin (2004), with two classes Matthews' phi; 0 where all rows are predicted, or are, alike."""
    right, said, there = _counts(logits, truth, weights)
    rows = there.sum(dim=1)
    shared = right.sum(dim=1) * rows - (said * there).sum(dim=1)
    spread = (rows**2 - (said**2).sum(dim=1)) * (rows**2 - (there**2).sum(dim=1))
    return torch.where(spread > 0, shared / torch.where(spread > 0, spread, 1).sqrt(), 0)


def _brier(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Compute the mean squared distance of Brier (1950) from the true class; of two classes half, as is usual."""
    p = torch.softmax(logits, dim=1)
    index = truth.view(1, 1, -1).expand(len(logits), 1, -1)
    distance = mean_of_rows(p.square().sum(dim=1) - 2 * p.gather(1, index).squeeze(1) + 1, weights)
    return distance / 2 if logits.shape[1] == 2 else distance


def _mape(predictions: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return mean_of_rows((predictions - truth).abs() / truth.abs(), weights)


def _rmsle(predictions: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return mean_of_rows((predictions.clamp(min=0).log1p() - truth.log1p()).square(), weights).sqrt()


def _of_errors(
    metric: str, of_row: Callable[[Tensor], Tensor], predictions: Tensor, truth: Tensor, weights: Weights
) -> Tensor:
    mean = mean_of_rows(of_row(predictions - truth), weights)
    return finish(metric, mean, variance_of_rows(truth, weights))


def _poisson_deviance(predictions: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Compute the mean of 2 (y log(y / p) - y + p), McCullagh and Nelder (1989, 2.3), with p at least 1e-9."""
    p = predictions.clamp(min=LEAST_MEAN)
    return 2 * mean_of_rows(torch.xlogy(truth, truth / p) - truth + p, weights)


def _gamma_deviance(predictions: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Compute the mean of 2 (log(p / y) + y / p - 1), McCullagh and Nelder (1989, 2.3), with p at least 1e-9."""
    ratio = truth / predictions.clamp(min=LEAST_MEAN)
    return 2 * mean_of_rows(ratio - ratio.log() - 1, weights)


def _tweedie_deviance(predictions: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    """Compute the mean unit deviance of power 1.5 (Jorgensen 1987), with predictions of at least 1e-9."""
    p, one, two = predictions.clamp(min=LEAST_MEAN), 1 - TWEEDIE_POWER, 2 - TWEEDIE_POWER
    return 2 * mean_of_rows(truth**two / (one * two) - truth * p**one / one + p**two / two, weights)


def _pinball(predictions: Tensor, truth: Tensor, weights: Weights, levels: Sequence[float] = (0.5,)) -> Tensor:
    """Compute the mean over levels and rows of max(l e, (l - 1) e), e = y - p (Koenker and Bassett 1978)."""
    error = truth - predictions.reshape(len(predictions), len(levels), -1)
    level = torch.tensor(levels, dtype=error.dtype, device=error.device).unsqueeze(1)
    return mean_of_rows(torch.maximum(level * error, (level - 1) * error), weights).mean(dim=1)


def _ordinal_mae(logits: Tensor, truth: Tensor, weights: Weights) -> Tensor:
    return mean_of_rows((_predicted(logits) - truth).abs().double(), weights)


_OF_ROW: Mapping[MeanOf, Callable[[Tensor], Tensor]] = {"squares": torch.square, "distances": torch.abs}
"""Maps the errors of a regression to the quantity that is averaged over the rows."""
_FUNCTIONS: Mapping[str, _Metric] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "mcc": _mcc,
    "log_loss": _log_loss,
    "brier": _brier,
    "ordinal_mae": _ordinal_mae,
    "mape": _mape,
    "rmsle": _rmsle,
    "pinball": _pinball,
    "poisson_deviance": _poisson_deviance,
    "gamma_deviance": _gamma_deviance,
    "tweedie_deviance": _tweedie_deviance,
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
    if metric.within > 1:
        return partial(_top_accuracy, metric.within)
    if metric.mean_of is None or metric.mean_of not in _OF_ROW:
        raise NotImplementedError(f"models/metrics.py has no function for the metric {metric.name}")
    return partial(_of_errors, metric.name, _OF_ROW[metric.mean_of])


_SCORES: Mapping[str, _Metric] = {metric.name: score_of(metric) for metric in METRICS.values()}
