"""Validation metrics for all members of a pack at once, in double precision and the user's own units.

Each takes predictions and truths and returns one number a member. Scikit-learn is the oracle in the tests; for
more than two classes f1 is the macro mean and roc_auc the macro mean of one class against the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

_Metric = Callable[[Tensor, Tensor], Tensor]
Finish = Callable[[Tensor, Tensor], Tensor]
"""(mean over the rows, variance of the truth) to the metric."""

OF_MEANS: Mapping[str, tuple[str, Finish]] = {
    "accuracy": ("right", lambda mean, _: mean),
    "mse": ("squares", lambda mean, _: mean),
    "rmse": ("squares", lambda mean, _: mean.sqrt()),
    "r2": ("squares", lambda mean, variance: 1 - mean / variance),
    "mae": ("distances", lambda mean, _: mean),
}
"""Metrics that a mean over the rows decides: of what, and how. Whoever goes through the rows may take the mean."""


def score_classes(metric: str, logits: Tensor, truth: Tensor) -> Tensor:
    """Score a classification.

    Args:
        metric: accuracy, balanced_accuracy, f1, roc_auc or log_loss.
        logits: (members, classes, rows).
        truth: (rows,) int64, the class of each row.

    Returns:
        (members,) float64; nan where a member's logits are not finite.
    """
    logits = logits.double()
    scores = _CLASS_METRICS[metric](logits, truth)
    return scores.masked_fill(~torch.isfinite(logits).all(dim=2).all(dim=1), float("nan"))


def score_values(metric: str, predictions: Tensor, truth: Tensor) -> Tensor:
    """Score a regression.

    Args:
        metric: rmse, mse, mae, r2 or poisson_deviance.
        predictions: (members, rows) float64 in the target's units.
        truth: (rows,) float64.

    Returns:
        (members,) float64; not finite where a member's predictions are not.
    """
    return _VALUE_METRICS[metric](predictions, truth)


def _predicted(logits: Tensor) -> Tensor:
    # the first of equal ones, as argmax gives, which takes nine times as long along this axis
    return logits.max(dim=1).indices


def _accuracy(logits: Tensor, truth: Tensor) -> Tensor:
    return (_predicted(logits) == truth).double().mean(dim=1)


def _counts(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each member and class: rows rightly predicted, rows predicted, rows there are; (members, classes)."""
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
    p = torch.softmax(logits, dim=1)
    present = [c for c in range(logits.shape[1]) if 0 < int((truth == c).sum()) < len(truth)]
    if not present:
        return torch.full((len(logits),), float("nan"), dtype=torch.float64, device=logits.device)
    return torch.stack([_auc(p[:, c], truth == c) for c in present]).mean(dim=0)


def _auc(decision: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC curve as the Mann-Whitney statistic with midranks (Hanley and McNeil 1982).

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


def _of_errors(metric: str, predictions: Tensor, truth: Tensor) -> Tensor:
    of_row, finish = OF_MEANS[metric]
    return finish(_OF_ERROR[of_row](predictions - truth).mean(dim=1), truth.var(correction=0))


def _poisson_deviance(predictions: Tensor, truth: Tensor) -> Tensor:
    """Mean of 2 (y log(y / p) - y + p), McCullagh and Nelder (1989, 2.3); predictions are kept positive."""
    p = predictions.clamp(min=1e-9)
    return 2 * (torch.xlogy(truth, truth / p) - truth + p).mean(dim=1)


_CLASS_METRICS: Mapping[str, _Metric] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
}
_OF_ERROR: Mapping[str, Callable[[Tensor], Tensor]] = {"squares": torch.square, "distances": torch.abs}
_VALUE_METRICS: Mapping[str, _Metric] = {
    **{name: partial(_of_errors, name) for name, (of_row, _) in OF_MEANS.items() if of_row in _OF_ERROR},
    "poisson_deviance": _poisson_deviance,
}
