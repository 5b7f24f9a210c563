"""What a search found, in the forms that scikit-learn and its users know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.leaderboard import TrialView


def greater_is_better(value: float, direction: Direction) -> float:
    """Turn a score as scikit-learn has scores: a loss is negated."""
    return -direction.loss_of(value)


def cv_results(trials: Sequence[TrialView], n_folds: int, direction: Direction) -> dict[str, Any]:
    """Write trials as `cv_results_` of a search of scikit-learn has them.

    Args:
        trials: in any order.
        n_folds: of each trial.
        direction: of the metric; a loss is negated.

    Returns:
        By name an array with an entry for each trial, by number: scores are NaN where a trial has none.
    """
    ordered = sorted(trials, key=lambda trial: trial.trial)
    names = sorted({name for trial in ordered for name in trial.params})
    scores = np.array([_fold_scores(trial, n_folds, direction) for trial in ordered]).reshape(-1, n_folds)
    means = np.array([_score(trial.score, direction) for trial in ordered])
    found: dict[str, Any] = {f"param_{name}": _masked([t.params.get(name) for t in ordered]) for name in names}
    found["params"] = [dict(trial.params) for trial in ordered]
    found |= {f"split{fold}_test_score": scores[:, fold] for fold in range(n_folds)}
    spreads = np.where(np.isnan(means), np.nan, scores.std(axis=1))
    return {**found, "mean_test_score": means, "std_test_score": spreads, "rank_test_score": _ranks(ordered)}


def _score(value: float | None, direction: Direction) -> float:
    return math.nan if value is None else greater_is_better(value, direction)


def _fold_scores(trial: TrialView, n_folds: int, direction: Direction) -> list[float]:
    scores = [*trial.folds, *[None] * n_folds][:n_folds]
    return [_score(score, direction) for score in scores]


def _masked(values: list[Any]) -> np.ma.MaskedArray[Any, Any]:
    """Put the values of a hyperparameter into an array, masked where a trial does not have it."""
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return np.ma.MaskedArray(cells, mask=[value is None for value in values])


def _ranks(trials: Sequence[TrialView]) -> npt.NDArray[np.int32]:
    """List the ranks of the leaderboard; trials without one share the rank after the last."""
    last = 1 + max((trial.rank or 0 for trial in trials), default=0)
    return np.array([trial.rank or last for trial in trials], dtype=np.int32)
