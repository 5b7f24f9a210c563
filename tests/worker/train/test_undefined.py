"""A metric without a value for finite predictions, in real training: an outcome of its own, and no divergence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.diagnose import diagnose
from foldstep.service.contract.lease import LeasedTrial
from foldstep.service.contract.report import TrialResult
from foldstep.service.contract.spec import CvSpec
from foldstep.worker.assignment import TrialWork
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.stopping import End
from tests.worker.train.data import problem
from tests.worker.train.test_loop import flat
from tests.worker.train.watch import Watch

N = 60
SANE: dict[str, Any] = {"hidden": [8], "lr": 1e-3, "epochs": 6, "batch_size": 16}
# its first predictions are dozens of standard deviations off, and it hardly learns
WILD = {**SANE, "init_gain": 12.0, "hidden": [32, 32], "lr": 1e-6, "on_divergence": "restart"}
DTYPES = [torch.float32, torch.float64]  # compiled, and eager


def source(task: Task, target: np.ndarray[Any, Any], features: np.ndarray[Any, Any]) -> FoldSource:
    columns = {f"x{i}": NumberColumn(features[:, i].astype(np.float64)) for i in range(4)}
    columns["target"] = NumberColumn(target.astype(np.float64))
    columns["f"] = NumberColumn((np.arange(len(target)) >= 20).astype(np.float64))
    return FoldSource(Table(columns), problem(task, CvSpec(column="f")))


@pytest.fixture(scope="module")
def large() -> FoldSource:
    """Targets whose squares fit into a double, as do a sane network's errors, but not those of a wild one."""
    bunch = datasets.load_diabetes()
    return source("regression", bunch.target[:N] * 1e151, bunch.data[:N])


@pytest.fixture(scope="module")
def one_class() -> FoldSource:
    """Fold 0 has one class, as in a search that an earlier version has stored."""
    bunch = datasets.load_breast_cancer()
    zeros, ones = np.flatnonzero(bunch.target == 0), np.flatnonzero(bunch.target == 1)
    rows = np.concatenate([zeros[:40], ones[:20]])
    return source("classification", bunch.target[rows], bunch.data[rows])


def trained(
    source: FoldSource, metric: str, *params: dict[str, Any], dtype: torch.dtype = torch.float32
) -> tuple[list[TrialResult], Watch]:
    direction, leased = METRICS[metric].direction, [LeasedTrial(number=n, params=p) for n, p in enumerate(params)]
    works = [TrialWork(trial, source.n_folds, 0, direction, saved=None) for trial in leased]
    watch = Watch()
    members = [member for work in works for member in work.members]
    Training(source, metric, Engine(torch.device("cpu"), 1 << 30, dtype)).train(members, watch)
    for (number, fold), (_, weights) in watch.done.items():
        works[number].weights[fold] = weights
    return [work.finished("0" * 64).result for work in works], watch


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", ["mse", "rmse"])
def test_errors_whose_squares_overflow_leave_the_metric_undefined(
    large: FoldSource, metric: str, dtype: torch.dtype
) -> None:
    (sane, wild), watch = trained(large, metric, SANE, WILD, dtype=dtype)
    assert sane.outcome == "completed"
    assert all(fold.score is not None and math.isfinite(fold.score) for fold in sane.folds)
    assert wild.outcome == "undefined"
    assert wild.message == (
        f"In epoch 1 of fold 0, although the losses are finite, {metric} is undefined: its errors are too large for "
        "double precision; divide the target by a power of ten."
    )
    for fold in wild.folds:
        assert (fold.score, fold.epochs, fold.curve.score) == (None, 1, [None])
        assert fold.curve.train_loss[0] is not None
        assert fold.diagnostics is not None
        assert fold.diagnostics.valid_loss[0] is not None
    assert watch.done[1, 0][0].progress.restarts == [], "a tenth of the rate would not help"
    (diagnosis,) = diagnose(resolve(WILD), wild.folds)
    assert diagnosis.kind == "undefined"
    assert diagnosis.sentence.startswith("The metric is undefined in epoch 1 of fold 0, as in 1 other fold: ")
    assert "did not diverge" in diagnosis.sentence


def test_a_neighbour_keeps_its_bits(large: FoldSource) -> None:
    (alone, *_), by_itself = trained(large, "mse", SANE)
    (together, *_), watch = trained(large, "mse", SANE, WILD)
    assert [f.curve for f in alone.folds] == [f.curve for f in together.folds]
    assert flat(by_itself.done[0, 0][1]) == flat(watch.done[0, 0][1])


def test_a_fold_with_one_class_leaves_roc_auc_undefined_and_the_other_fold_trains_on(one_class: FoldSource) -> None:
    (result,), watch = trained(one_class, "roc_auc", SANE)
    assert result.outcome == "undefined"
    assert result.message == (
        "In epoch 1 of fold 0, although the losses are finite, roc_auc is undefined: "
        "all validation rows of the fold have the same class."
    )
    assert [fold.epochs for fold in result.folds] == [1, SANE["epochs"]]
    assert [watch.done[0, fold][0].progress.end for fold in range(2)] == [End.UNDEFINED, End.EPOCHS]
    (diagnosis,) = diagnose(resolve(SANE), result.folds)
    assert diagnosis.kind == "undefined"


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1", "log_loss"])
def test_other_metrics_have_a_score_there(one_class: FoldSource, metric: str) -> None:
    (result,), _ = trained(one_class, metric, SANE)
    assert result.outcome == "completed"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_that_is_not_finite_is_still_a_divergence(large: FoldSource, dtype: torch.dtype) -> None:
    hopeless = {**SANE, "lr": 1e60, "optimizer": "sgd"}
    (result,), _ = trained(large, "mse", hopeless, dtype=dtype)
    assert result.outcome == "diverged"
    (diagnosis,) = diagnose(resolve(hopeless), result.folds)
    assert diagnosis.kind == "diverged"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", [
    {"target_transform": "log", "init_gain": 1e4}, {"loss": "gamma", "bias_init": 2000.0}
])  # fmt: skip
def test_predictions_that_overflow_when_the_outputs_are_undone_are_a_divergence(
    dtype: torch.dtype, how: dict[str, Any]
) -> None:
    bunch = datasets.load_diabetes()
    far_off = {**SANE, "lr": 1e-6, **how}
    (result,), watch = trained(source("regression", bunch.target[:N], bunch.data[:N]), "rmse", far_off, dtype=dtype)
    assert result.outcome == "diverged"
    assert all(loss is not None for loss in watch.done[0, 0][0].progress.train_loss), "its losses are finite"
    (diagnosis,) = diagnose(resolve(far_off), result.folds)
    assert diagnosis.kind == "diverged"
