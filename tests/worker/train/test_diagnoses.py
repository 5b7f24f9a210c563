"""Each cause, planted in real training on real data, is found and nothing else is; a healthy trial is told so.

The rules were set on other configurations than these.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.diagnose import Diagnosis, diagnose
from foldstep.service.contract.lease import LeasedTrial
from foldstep.service.contract.report import FoldResult, TrialResult
from foldstep.worker.assignment import TrialWork
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

FOLDS = 2
SOURCES = {name: source(name, n_rows=600, folds=FOLDS) for name in ("digits", "diabetes", "breast_cancer")}
HEALTHY: dict[str, dict[str, Any]] = {
    "digits": {"lr": 3e-3, "epochs": 20, "batch_size": 32, "dropout": 0.1},
    "breast_cancer": {"lr": 3e-3, "width": 16, "epochs": 10, "batch_size": 32, "weight_decay": 1e-3},
    "diabetes": {"lr": 3e-3, "hidden": [16], "epochs": 30, "batch_size": 32, "dropout": 0.1},
}
PLANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "diverged": ("diabetes", {"optimizer": "sgd", "lr": 30.0, "epochs": 10}),
    "rate_too_high": ("digits", {"activation": "leaky_relu", "lr": 0.5, "epochs": 60, "batch_size": 32}),
    "rate_too_low": ("digits", {"lr": 3e-6, "epochs": 20, "batch_size": 32}),
    "dead_units": ("digits", {"bias_init": -6.0, "lr": 1e-3, "epochs": 20, "batch_size": 32}),
    "saturated": (
        "breast_cancer",
        {"activation": "tanh", "init_gain": 4.0, "lr": 1e-2, "hidden": [64], "epochs": 20, "batch_size": 32},
    ),
    "overfitting": ("diabetes", {"width": 128, "lr": 3e-3, "epochs": 80, "batch_size": 32}),
    "underfitting": ("digits", {"width": 1, "lr": 1e-2, "activation": "leaky_relu", "epochs": 40, "batch_size": 32}),
    "still_improving": ("digits", {"lr": 1e-4, "epochs": 15, "batch_size": 32}),
}


def trained(name: str, params: dict[str, Any]) -> TrialResult:
    watch = Watch()
    metric = "rmse" if name == "diabetes" else "accuracy"
    work = TrialWork(LeasedTrial(number=0, params=params), FOLDS, 3, METRICS[metric].direction, saved=None)
    Training(SOURCES[name], metric, Engine(torch.device("cpu"), 1 << 30)).train(work.members, watch)
    work.weights = {fold: weights for (_, fold), (_, weights) in watch.done.items()}
    return work.finished("0" * 64).result


def found(params: dict[str, Any], folds: list[FoldResult]) -> list[Diagnosis]:
    return diagnose(resolve(params, seed=3), folds)


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_cause_is_found_and_nothing_else(kind: str) -> None:
    name, params = PLANTS[kind]
    diagnoses = found(params, trained(name, params).folds)
    assert [d.kind for d in diagnoses] == [kind], [d.sentence for d in diagnoses]
    (diagnosis,) = diagnoses
    assert diagnosis.evidence
    assert any(character.isdigit() for character in diagnosis.sentence)


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_trial_is_told_so(name: str) -> None:
    diagnoses = found(HEALTHY[name], trained(name, HEALTHY[name]).folds)
    assert [d.kind for d in diagnoses] == ["healthy"], [d.sentence for d in diagnoses]


@pytest.fixture(scope="module")
def diverged() -> tuple[dict[str, Any], TrialResult]:
    params = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.99, "hidden": [64], "init_gain": 3.0, "epochs": 40}
    return params, trained("diabetes", params)


def test_where_a_trial_diverged_and_what_came_before(diverged: tuple[dict[str, Any], TrialResult]) -> None:
    params, result = diverged
    assert result.outcome == "diverged"
    (diagnosis,) = found(params, result.folds)
    fold = next(f for f in result.folds if None in f.curve.train_loss)
    epoch = fold.curve.train_loss.index(None) + 1
    assert (diagnosis.evidence["fold"], diagnosis.evidence["epoch"]) == (fold.fold, epoch)
    assert f"Fold {fold.fold} diverged in epoch {epoch}" in diagnosis.sentence
    if epoch > 1:
        assert diagnosis.evidence["train_loss"] == fold.curve.train_loss[epoch - 2]
