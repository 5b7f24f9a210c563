"""The other sides of the search benchmark: a side that finished nothing in its time is told, and breaks nothing off."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

from benchmarks import rivals
from benchmarks.rivals import (
    EPOCHS,
    RANGES,
    REFITS,
    Found,
    Problem,
    halve,
    halving,
    halving_test_score,
    optuna_tpe,
    suggested,
)
from benchmarks.search import STARTUP_S, Case, against, foldstep, median, row
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.parse import parse_spec
from foldstep.worker.data.inputs import FoldSource
from tests.oracle.single import train_single


@pytest.fixture
def problem() -> Problem:
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.1 * random.normal(size=60)
    fold = np.arange(40) % 2
    return Problem(["a", "b", "c"], x, y, 20, fold, task="regression", metric="rmse", batch_size=16, seed=0)


@pytest.mark.parametrize("side", [optuna_tpe, halving])
def test_a_side_without_time_has_no_winner(
    problem: Problem, tmp_path: Path, side: Callable[[Problem, Path, float], Found]
) -> None:
    found = side(problem, tmp_path, 0.0)
    assert math.isnan(found.score)
    assert (found.params, found.n_trials) == ({}, 0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_scores_are_in_the_metrics_own_sign(problem: Problem) -> None:
    found = halve(problem, 0)
    assert 0 < found["score"] < 2 * problem.y.std()
    names = {"hidden_layer_sizes", "learning_rate_init", "alpha", "activation", "max_iter"}
    assert {name.rpartition("__")[2] for name in found["params"]} == names
    assert 0 < halving_test_score(problem, json.loads(json.dumps(found["params"], default=float))) < 2 * problem.y.std()


def test_optuna_draws_from_the_same_ranges() -> None:
    space = parse_spec({"name": "x", "data": {"dataset": "wine"}, "parameters": RANGES}).space
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    drawn = {name: suggested(trial, name, values) for name, values in RANGES.items()}
    assert drawn.keys() == RANGES.keys()
    assert all(space.parameters[name].contains(value) for name, value in drawn.items())
    assert isinstance(trial.distributions["width"], optuna.distributions.IntDistribution)
    logs = {name for name in trial.distributions if getattr(trial.distributions[name], "log", False)}
    assert logs == {name for name in RANGES if isinstance(RANGES[name], dict) and RANGES[name].get("log")}


def test_the_test_part_is_scored_after_as_many_epochs_as_the_folds_took(problem: Problem) -> None:
    params = {"lr": 0.1, "width": 64, "depth": 3, "activation": "relu", "weight_decay": 1e-6}

    def course(source: FoldSource, seed: int, fold: int) -> list[float]:
        hp = resolve({**params, "batch_size": 16, "seed": seed, "epochs": EPOCHS})
        return train_single(hp, fold, source.fold(fold, hp.preparation), "rmse", torch.float64).scores

    scores = [course(problem.source, seed, fold) for seed in range(REFITS) for fold in range(2)]
    took = round(np.mean([1 + np.argmin(s) for s in scores]))
    assert took < EPOCHS
    expected = np.mean([course(problem.final, seed, 1)[took - 1] for seed in range(REFITS)])
    assert rivals.test_score(problem, params) == pytest.approx(expected, rel=0.01), "float32, some hundred steps"


def test_differences_are_taken_seed_by_seed() -> None:
    found = against([1.0, 2.0, math.nan, 4.0], [1.5, 2.1, 7.0, 4.6], "test")
    assert found["test_difference"] == pytest.approx(0.4)
    assert found["test_standard_error"] == pytest.approx(np.std([0.5, 0.1, 0.6], ddof=1) / math.sqrt(3))
    assert math.isnan(against([1.0], [2.0], "test")["test_standard_error"])


def test_a_row_is_of_the_seeds_with_a_winner() -> None:
    case = Case("x.csv", "y", "regression", 16)
    missing = Found(math.nan, {}, 0, 1.0)
    found = row(case, "optuna", [missing, Found(0.5, {}, 4, 1.0), Found(0.7, {}, 6, 1.0)])
    assert (found["validation"], found["least"], found["greatest"], found["found"]) == (0.6, 0.5, 0.7, "2 of 3")
    assert median([math.nan, 0.6, 0.8]) == pytest.approx(0.7)
    assert math.isnan(row(case, "optuna", [missing])["validation"])


def test_predictions_are_scored_against_the_rows_held_back(problem: Problem) -> None:
    truth = problem.y[-problem.n_test :]
    assert problem.score_of(list(truth + 0.5)) == pytest.approx(0.5)
    assert replace(problem, metric="accuracy").score_of([*truth[:15], *truth[15:] + 1]) == 0.75


def test_foldsteps_winner_predicts_with_all_its_folds(problem: Problem, tmp_path: Path) -> None:
    found = foldstep("random", problem, tmp_path, STARTUP_S + 2.0)
    assert found.n_trials > 0
    assert found.test is not None
    assert found.test < problem.y.std(), "better than the mean"
    assert len(list((tmp_path / "data" / "checkpoints").rglob("*.safetensors"))) == 2
