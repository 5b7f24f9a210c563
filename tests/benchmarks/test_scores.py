"""The benchmark of scores: its ways to choose epochs, and that what ships is one of them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality.candidates import WAYS, Floats, own, trailing
from benchmarks.quality.scores import judged, score_of
from benchmarks.quality.watched import Watched
from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.models.hyperparameters import resolve
from foldstep.worker.train.scoring import scored_epochs
from foldstep.worker.train.stopping import Progress

SHIPPED = "averaged over 10 %, score at the common epoch"


def curves(seed: int, folds: int = 5, epochs: int = 60) -> Floats:
    return np.random.default_rng(seed).normal(size=(folds, epochs))


def test_averages_of_the_last_epochs() -> None:
    values = curves(1, 2, 30)
    found = trailing(values, 10)
    np.testing.assert_allclose(found[:, :19], values[:, :19])
    np.testing.assert_allclose(found[:, 29], values[:, 27:30].mean(axis=1))


@pytest.mark.parametrize("seed", range(20))
def test_what_ships_is_the_way_that_was_measured(seed: int) -> None:
    losses = curves(seed)
    chosen = WAYS[SHIPPED](losses, losses)
    folds = [Progress() for _ in losses]
    for fold, scores in zip(folds, losses.tolist(), strict=True):
        for score in scores:
            fold.record(1.0, 1.0, score, METRICS["log_loss"], resolve({"epochs": len(scores)}))
    assert [fold.best_epoch - 1 for fold in folds] == chosen.epochs.tolist()
    epochs = scored_epochs(folds, Direction.MINIMIZE)
    scores = [fold.averages[epoch - 1] for fold, epoch in zip(folds, epochs, strict=True)]
    np.testing.assert_allclose(scores, chosen.losses, rtol=1e-9)


def test_every_way_is_a_choice_of_its_own() -> None:
    losses, trained = curves(3, epochs=400), curves(4, epochs=400)
    found = {name: way(losses, trained) for name, way in WAYS.items()}
    told = {name: (*chosen.epochs.tolist(), *chosen.losses.round(9).tolist()) for name, chosen in found.items()}
    assert len(set(told.values())) == len(WAYS)
    assert found["own best epoch"].losses.tolist() == losses.min(axis=1).tolist()
    assert (found["common epoch"].epochs == losses.mean(axis=0).argmin()).all()
    rest = [int(np.delete(losses, i, axis=0).mean(axis=0).argmin()) for i in range(5)]
    assert found["epoch of the other folds"].epochs.tolist() == rest
    assert found["least validation loss"].epochs.tolist() == trained.argmin(axis=1).tolist()


def test_bias_and_ranks_of_known_curves() -> None:
    """Validation scores are the error on held-out rows minus 1; the second trial is better by both."""
    rng, truth = np.random.default_rng(0), np.zeros(50)
    trials = []
    for size in (3.0, 2.0):
        predicted = np.repeat(size * rng.choice([-1.0, 1.0], size=(5, 1, 50)), 12, axis=1).astype(np.float32)
        scores = np.full((5, 12), size - 1) + np.arange(5)[:, None] * 0.1 - 0.2
        trials.append(Watched(scores, scores, predicted))
    row = judged(trials, truth, "rmse", Direction.MINIMIZE, "own best epoch")
    error = np.std([0, 0.1, 0.2, 0.3, 0.4], ddof=1) / np.sqrt(5)
    assert row["bias"] == pytest.approx(1 / error)
    assert row["rank"] == pytest.approx(1)
    assert (
        row["winner"] == pytest.approx(row["best"]) == score_of("rmse", truth, trials[1].predicted[:, 0].mean(axis=0))
    )
    assert own(trials[0].scores, trials[0].losses).epochs.tolist() == [0] * 5


def test_metrics_of_two_classes() -> None:
    truth, predicted = np.array([0.0, 1, 1, 0]), np.array([0.2, 0.9, 0.4, 0.3])
    assert score_of("accuracy", truth, predicted) == 0.75
    assert score_of("roc_auc", truth, predicted) == 1
