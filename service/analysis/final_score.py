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

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task
from foldstep.service.analysis.kept import ClassWeights, corrected, read_class_weights, read_predictions
from foldstep.service.analysis.scores import Answers, Truth, scores
from foldstep.service.analysis.threshold import one_hot
from foldstep.service.child import answer_once, limit_memory_and_time
from foldstep.service.contract.final import LEVEL
from foldstep.service.contract.out_of_fold import TEST, FoldPredictions
from foldstep.service.contract.probabilities import is_second, tempered
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
        temperature: of the final model's probabilities.
        threshold: of the final model, between two classes; None for the more probable class.
        seed: of the search.
    """

    committees: list[Committee]
    winner: Committee
    metric: str
    task: Task
    levels: list[float] = Field(default_factory=list)
    temperature: float = 1.0
    threshold: float | None = None
    seed: int


class FinalScored(Frozen):
    """The scores on the test part, see `HeldOutScore`; None where a checkpoint has no predictions of it.

    Attributes:
        is_corrected: whether class weights in training shifted probabilities that are scored as they were before.
    """

    score: float | None
    winner_score: float | None
    low: float | None
    high: float | None
    n_rows: int
    n_resamples: int
    is_corrected: bool = False


def final_score(request: FinalScoreRequest) -> FinalScored | None:
    """Score a final model and the best trial alone; None where a checkpoint has no predictions of the test part."""
    of_each = [_networks(committee) for committee in [*request.committees, request.winner]]
    if not all(of_each):
        return None
    both, is_corrected = _answers(request, of_each)
    first = of_each[0][0]
    truth = Truth(first.truth, first.weight, tuple(request.levels))
    score, winner = scores(request.metric, request.task, both, truth)
    drawn = _resampled(request, both[:1], truth)
    low, high = _interval(drawn, _n_resamples(len(first.rows)))
    return FinalScored(
        score=_finite(score), winner_score=_finite(winner), low=low, high=high,
        n_rows=len(first.rows), n_resamples=len(drawn), is_corrected=is_corrected,
    )  # fmt: skip


def _answers(request: FinalScoreRequest, of_each: Sequence[Sequence[FoldPredictions]]) -> tuple[Answers, bool]:
    """Find what `foldstep predict` says of the rows, by the final model and by the best trial alone.

    Returns:
        (2, outputs, rows), and whether class weights were undone. That is done for probabilities; a class is chosen as
        training weighted it, except by a threshold.
    """
    plain = [_mean(folds, [None] * len(folds)) for folds in of_each]
    is_of_classes = METRICS[request.metric].is_of_classes
    if request.task != "classification" or (is_of_classes and request.threshold is None):
        return np.stack([_together(request, plain), plain[-1]]), False
    trained = _trained(request)
    undone = plain if trained is None else [_mean(*pair) for pair in zip(of_each, trained, strict=True)]
    shares = tempered(_together(request, undone).T, request.temperature)
    if is_of_classes and request.threshold is not None:
        return np.stack([one_hot(is_second(shares, request.threshold)[None])[0], plain[-1]]), False
    return np.stack([shares.T, undone[-1]]), any(w is not None for of_folds in trained or () for w in of_folds)


def _trained(request: FinalScoreRequest) -> list[list[ClassWeights | None]] | None:
    """Read the weights that classes had, of the final model's trials and of the best one; None where one is unknown."""
    every = [*request.committees, request.winner]
    found = [read_class_weights(Path(committee.folder), committee.checkpoints) for committee in every]
    known = [of_folds for of_folds in found if of_folds is not None]
    return known if len(known) == len(found) else None


def _together(request: FinalScoreRequest, said: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Average what the trials of the final model say; the best trial's answer is the last one, and no part of it."""
    weights = np.array([committee.weight for committee in request.committees])
    return np.asarray(np.tensordot(weights / weights.sum(), np.stack(said[:-1]), axes=1))


def _networks(committee: Committee) -> list[FoldPredictions]:
    return read_predictions(Path(committee.folder), committee.checkpoints, TEST)


def _mean(folds: Sequence[FoldPredictions], weights: Sequence[ClassWeights | None]) -> npt.NDArray[np.float64]:
    """Average what the networks of a trial say, (outputs, rows), each corrected for its class weights."""
    each = [corrected(fold.predictions.T, of_fold) for fold, of_fold in zip(folds, weights, strict=True)]
    return np.asarray(np.mean(each, axis=0).T)


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
