"""Score a final model on the test part, from what its networks said of these rows when their checkpoints were made.

The interval is that of the bootstrap's percentiles (Efron and Tibshirani 1993, chapter 13): rows are drawn with
replacement, so it holds what the choice of the test rows brings, and not what another training would.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from foldstep.models.catalog.tasks import Task
from foldstep.service.analysis.kept import read_predictions
from foldstep.service.analysis.scores import Answers, Truth, scores
from foldstep.service.child import answer_once, limit_memory_and_time
from foldstep.service.contract.final import LEVEL
from foldstep.service.contract.out_of_fold import TEST, FoldPredictions
from foldstep.service.contract.space import Frozen

MOST_RESAMPLES, FEWEST_RESAMPLES = 2000, 200
MOST_DRAWN = 20_000_000
"""Rows that are drawn for all resamples together, as far as `FEWEST_RESAMPLES` allow."""


class Committee(Frozen):
    """A trial of the final model: its weight, and its checkpoints with their folder."""

    weight: float = Field(gt=0)
    folder: str
    checkpoints: list[str]


class FinalScoreRequest(Frozen):
    """What is scored.

    Attributes:
        committees: the final model.
        winner: the best trial, which is scored beside it.
        levels: of the quantiles that are predicted.
        seed: of the search.
    """

    committees: list[Committee]
    winner: Committee
    metric: str
    task: Task
    levels: list[float] = Field(default_factory=list)
    seed: int


class FinalScored(Frozen):
    """The scores on the test part, see `HeldOutScore`; None where a checkpoint has no predictions of it."""

    score: float | None
    winner_score: float | None
    low: float | None
    high: float | None
    n_rows: int
    n_resamples: int


def final_score(request: FinalScoreRequest) -> FinalScored | None:
    """Score a final model and the best trial alone; None where a checkpoint has no predictions of the test part."""
    of_each = [_networks(committee) for committee in [*request.committees, request.winner]]
    if not all(of_each):
        return None
    said = [_mean(networks) for networks in of_each]
    weights = np.array([committee.weight for committee in request.committees])
    together = np.tensordot(weights / weights.sum(), np.stack(said[:-1]), axes=1)
    first = of_each[0][0]
    truth = Truth(first.truth, first.weight, tuple(request.levels))
    both = np.stack([together, said[-1]])
    score, winner = scores(request.metric, request.task, both, truth)
    drawn = _resampled(request, both[:1], truth)
    low, high = _interval(drawn, _n_resamples(len(first.rows)))
    return FinalScored(
        score=_finite(score), winner_score=_finite(winner), low=low, high=high,
        n_rows=len(first.rows), n_resamples=len(drawn),
    )  # fmt: skip


def _networks(committee: Committee) -> list[FoldPredictions]:
    return read_predictions(Path(committee.folder), committee.checkpoints, TEST)


def _mean(networks: Sequence[FoldPredictions]) -> npt.NDArray[np.float64]:
    """Average what the networks of a trial say, (outputs, rows)."""
    return np.asarray(np.mean([one.predictions.T for one in networks], axis=0, dtype=np.float64))


def _n_resamples(n_rows: int) -> int:
    return min(MOST_RESAMPLES, max(FEWEST_RESAMPLES, MOST_DRAWN // max(1, n_rows)))


def _resampled(request: FinalScoreRequest, said: Answers, truth: Truth) -> npt.NDArray[np.float64]:
    """Score resamples of the rows; those on which the metric has no value are left out."""
    n_rows = said.shape[-1]
    generator = np.random.default_rng([request.seed, n_rows])
    found = []
    for _ in range(_n_resamples(n_rows)):
        drawn = generator.integers(n_rows, size=n_rows)
        weight = None if truth.weight is None else truth.weight[drawn]
        resample = Truth(truth.values[drawn], weight, truth.levels)
        found.append(float(scores(request.metric, request.task, said[:, :, drawn], resample)[0]))
    known = np.array(found)
    return np.asarray(known[np.isfinite(known)])


def _interval(drawn: npt.NDArray[np.float64], n_asked: int) -> tuple[float | None, float | None]:
    if 2 * len(drawn) < n_asked:
        return None, None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _finite(score: Any) -> float | None:
    return float(score) if np.isfinite(score) else None


class Answer(Frozen):
    """The answer of the child process."""

    scored: FinalScored | None


def perform(request: dict[str, Any]) -> Answer:
    """Score the requested model."""
    limit_memory_and_time()
    return Answer(scored=final_score(FinalScoreRequest.model_validate(request)))


if __name__ == "__main__":
    answer_once(perform)
