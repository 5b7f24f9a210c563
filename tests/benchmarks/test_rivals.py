"""The other sides of the search benchmark: a side that finished nothing in its time is told, and breaks nothing off."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

from benchmarks import rivals
from benchmarks.rivals import EPOCHS, RANGES, Found, Problem, halve, halving, optuna_tpe, plain_score, suggested
from benchmarks.search import Case, row
from models.hyperparameters import resolve
from service.contract.parse import parse_spec
from worker.train.single import train_single


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
    assert found.test is not None
    assert math.isnan(found.test)
    assert (found.params, found.n_trials) == ({}, 0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_scores_are_in_the_metrics_own_sign(problem: Problem) -> None:
    found = halve(problem, 0)
    assert 0 < found["score"] < 2 * problem.y.std()
    assert 0 < found["test"] < 2 * problem.y.std()
    assert set(found["params"]) == {"hidden_layer_sizes", "learning_rate_init", "alpha", "activation", "max_iter"}


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
    took = [plain_score(problem, params, fold)[1] for fold in range(2)]
    assert max(took) < EPOCHS
    hp = resolve({**params, "batch_size": 16, "seed": 0, "epochs": EPOCHS})
    course = train_single(hp, 1, problem.final.fold(1, hp.scaler), "rmse", torch.float32).scores
    assert rivals.test_score(problem, params) == course[round(sum(took) / 2) - 1] != course[-1]


def test_a_row_is_of_the_seeds_with_a_winner() -> None:
    case = Case("x.csv", "y", "regression", 16)
    missing = Found(math.nan, {}, 0, 1.0, test=math.nan)
    found = row(case, "optuna", [missing, Found(0.5, {}, 4, 1.0), Found(0.7, {}, 6, 1.0)], [math.nan, 0.6, 0.8])
    assert (found["validation"], found["least"], found["greatest"], found["found"]) == (0.6, 0.5, 0.7, "2 of 3")
    assert found["test"] == pytest.approx(0.7)
    assert math.isnan(row(case, "optuna", [missing], [math.nan])["validation"])
