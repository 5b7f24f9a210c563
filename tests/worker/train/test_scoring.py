"""The scores of folds: averaged over epochs, at one epoch for all folds of a trial."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.models.hyperparameters import resolve
from foldstep.worker.train.scoring import average, averaging_width, scored_epochs
from foldstep.worker.train.stopping import End, Progress


class Fold(NamedTuple):
    averages: Sequence[float]
    best_epoch: int
    counts_from: int = 0


def fold(*averages: float, direction: Direction = Direction.MINIMIZE) -> Fold:
    return Fold(averages, 1 + min(range(len(averages)), key=lambda i: direction.loss_of(averages[i])))


def trained(scores: Sequence[float], metric: str = "log_loss", **params: Any) -> Progress:
    """A fold whose epochs had these scores, until it ended."""
    progress, hp = Progress(), resolve({"epochs": len(scores), **params})
    for score in scores:
        if progress.end is None:
            progress.record(0.5, 0.5, score, METRICS[metric], hp)
    return progress


def test_the_last_tenth_of_the_epochs_is_averaged() -> None:
    assert [averaging_width(epoch) for epoch in (1, 9, 19, 20, 29, 30, 200)] == [1, 1, 1, 2, 2, 3, 20]
    scores = np.random.default_rng(0).normal(size=64).tolist()
    assert average(scores[:1]) == scores[0]
    assert average(scores) == pytest.approx(fmean(scores[-6:]), rel=1e-15) == average([*scores[:-6], *scores[:-7:-1]])
    assert trained(scores).averages == pytest.approx([fmean(scores[n - max(1, n // 10) : n]) for n in range(1, 65)])


def test_a_lucky_epoch_is_not_the_best_one() -> None:
    scores = [1.0] * 30 + [0.8] + [1.0] * 10 + [0.9] * 20
    progress = trained(scores)
    assert progress.best_epoch > 41, "not epoch 31, where one score alone was good"
    assert progress.best_average == pytest.approx(0.9)


def test_equal_scores_have_equal_averages() -> None:
    """Sums that end in other last bits would choose a late epoch at random."""
    progress = trained([0.1] * 300)
    assert set(progress.averages) == {0.1}
    assert progress.best_epoch == 1
    assert scored_epochs([progress, trained([0.7] * 300), trained([1 / 3] * 300)], Direction.MINIMIZE) == [1, 1, 1]


def test_one_epoch_counts_for_all_folds() -> None:
    folds = [fold(1, 3, 2, 9), fold(9, 2, 1, 3), fold(9, 1, 3, 3)]
    assert [one.best_epoch for one in folds] == [1, 3, 2]
    assert scored_epochs(folds, Direction.MINIMIZE) == [2, 2, 2], "means 19/3, 2, 2, 5, and the first of equal ones"
    assert scored_epochs(folds[:1], Direction.MINIMIZE) == [1]
    assert scored_epochs([], Direction.MINIMIZE) == []


@given(st.lists(st.lists(st.floats(-10, 10), min_size=4, max_size=4), min_size=1, max_size=4))
def test_the_direction_alone_is_turned(curves: list[list[float]]) -> None:
    down = scored_epochs([fold(*curve) for curve in curves], Direction.MINIMIZE)
    up = [fold(*(-value for value in curve), direction=Direction.MAXIMIZE) for curve in curves]
    assert scored_epochs(up, Direction.MAXIMIZE) == down


def test_a_fold_that_has_ended_counts_with_its_best_epoch() -> None:
    stopped, others = fold(5, 1, 4), [fold(9, 8, 7, 6, 3), fold(9, 8, 7, 6, 4)]
    assert scored_epochs([stopped, *others], Direction.MINIMIZE) == [2, 5, 5]


def test_patience_waits_for_a_better_average() -> None:
    scores = [2 - epoch / 40 for epoch in range(40)] + [0.9] * 4 + [1.0] * 60
    progress = trained(scores, patience=10)
    assert (progress.best_epoch, progress.end) == (44, End.PATIENCE)
    assert progress.epoch == 54


@pytest.mark.parametrize("n_folds", [3, 5, 10])
def test_a_score_of_noise_is_hardly_better_than_its_mean(n_folds: int) -> None:
    """What the best epoch of each fold would promise is another fold's bad luck."""
    rng, promised, picked = np.random.default_rng(n_folds), [], []
    for _ in range(200):
        folds = [trained(rng.normal(size=100).tolist()) for _ in range(n_folds)]
        epochs = scored_epochs(folds, Direction.MINIMIZE)
        promised.append(fmean(f.averages[e - 1] for f, e in zip(folds[10:] or folds, epochs, strict=True)))
        picked.append(fmean(min(score for score in one.scores if score is not None) for one in folds))
    assert 0 < -fmean(promised) < 0.5 * -fmean(picked)


def test_of_a_trial_that_continues_only_its_own_epochs_may_count() -> None:
    """The first cycle was the best one, and neither its epochs nor their scores are seen by the second."""
    scores, hp = [0.3] * 20 + [0.9, 0.8, 0.5, 0.6], resolve({"epochs": 24})
    folds = [Progress(counts_from=20) for _ in range(2)]
    for progress in folds:
        for score in scores[:20]:
            progress.record(0.5, 0.5, score, METRICS["log_loss"], hp)
        assert progress.best_epoch == 1
    assert scored_epochs(folds, Direction.MINIMIZE) == [1, 1]
    for progress in folds:
        for score in scores[20:]:
            progress.record(0.5, 0.5, score, METRICS["log_loss"], hp)
    assert [fold.best_epoch for fold in folds] == [23, 23]
    assert scored_epochs(folds, Direction.MINIMIZE) == [23, 23]
    assert folds[0].best_average == 0.5
    assert Progress.from_json(folds[0].to_json()) == folds[0]
