"""Healthy searches pass every check; the report is the same every time, and bounded in size and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.spec import CvSpec
from foldstep.service.planner.candidates import candidates
from foldstep.worker.checks.chance import _LEVELS, chance_loss, constant_loss, floor_loss
from foldstep.worker.checks.overfit import few_rows
from foldstep.worker.checks.run import CHECKS, run_checks
from foldstep.worker.checks.setting import MAX_ROWS, MAX_WIDTH, MAX_WORK, CheckSetting, in_common
from tests.worker.checks.settings import WIDE, bundled, made, setting
from tests.worker.train.data import problem

NAMES = ("wine", "digits", "diabetes", "breast_cancer")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As a worker has it."""
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("space", "seed"), [({}, 0), ({}, 1), (WIDE, 0), (WIDE, 2)])
def test_healthy_searches_pass(name: str, space: dict[str, Any], seed: int) -> None:
    here = setting(name, seed, **space)
    results = [check(here) for check in CHECKS.values()]
    assert [(r.name, r.outcome) for r in results] == [(c, "passed") for c in CHECKS], results
    assert all(r.look_at is None for r in results)


def report(name: str, task: Task, **parameters: Any) -> Any:
    spec = parse_spec({"name": "t", "data": {"dataset": name}, "parameters": parameters})
    made_of = run_checks(bundled(name), problem(task, CvSpec(folds=5)), candidates(spec))
    return made_of.model_dump(exclude={"duration_s"})


def test_the_same_spec_and_data_give_the_same_report() -> None:
    space = {"activation": ["relu", "tanh"], "norm": ["none", "batch"], "dropout": [0.0, 0.4]}
    assert report("wine", "classification", **space) == report("wine", "classification", **space)


def test_work_is_bounded_whatever_the_space() -> None:
    rng = np.random.default_rng(0)
    big = made(rng.normal(size=(6000, 3)), rng.integers(2, size=6000))
    here = setting(big, width={"low": 50_000, "high": 65_536}, depth={"low": 1, "high": 64})
    assert len(here.data(here.candidates[0]).y_train) == MAX_ROWS
    assert all(max(hp.hidden) <= MAX_WIDTH for hp in here.candidates)
    assert sum(hp.n_parameters(3, 2) for hp in here.candidates[1:]) <= MAX_WORK
    assert len(here.candidates) >= 1


def test_equal_draws_are_one_candidate() -> None:
    assert len(setting("wine").candidates) == 1
    assert len(setting("wine", activation=["relu", "tanh"]).candidates) == 2


def test_a_handful_of_rows_is_too_few_to_judge_labels_by() -> None:
    few = made(np.arange(40.0).reshape(-1, 1), np.arange(40) % 2)
    assert CHECKS["labels"](setting(few)).outcome == "skipped"


def test_what_a_thrown_error_leaves_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: CheckSetting) -> Any:
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setitem(CHECKS, "labels", broken)
    results = report("wine", "classification")["results"]
    assert [r["outcome"] for r in results] == ["passed"] * 4 + ["failed"]
    assert results[-1]["sentence"] == "The check could not be run: RuntimeError: out of memory."


def test_the_levels_have_the_names_of_the_table() -> None:
    assert set(_LEVELS) == set(LOSSES)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_a_level_by_chance_or_says_that_it_has_none(loss: str) -> None:
    y = np.array([-1.0, 0.0, 4.0])
    assert (chance_loss(loss, y, 1) is None) == (constant_loss(loss, y) is None) == LOSSES[loss].counts


def test_a_loss_that_nobody_knows_has_no_level_by_chance() -> None:
    for level in (lambda: chance_loss("toy", np.ones(3), 1), lambda: constant_loss("toy", np.ones(3))):
        with pytest.raises(KeyError, match="toy"):
            level()


def test_chance_and_constant_losses() -> None:
    classes = np.array([0, 0, 0, 1])
    assert chance_loss("cross_entropy", classes, 3) == pytest.approx(np.log(3))
    assert constant_loss("cross_entropy", classes) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    y = np.array([-3.0, 0.0, 0.5, 2.5])
    assert chance_loss("mse", y, 1) == pytest.approx((y**2).mean())
    assert constant_loss("mse", y) == pytest.approx(y.var())
    assert chance_loss("mae", y, 1) == pytest.approx(1.5)
    assert chance_loss("huber", y, 1) == pytest.approx((2.5 + 0 + 0.125 + 2.0) / 4)
    skewed = np.array([0.0, 0.0, 0.1, 9.0])
    answers = np.linspace(0, 9, 9001)
    errors = np.abs(skewed[None, :] - answers[:, None])
    losses = np.where(errors <= 1, errors**2 / 2, errors - 0.5).mean(axis=1)
    assert constant_loss("huber", skewed) == pytest.approx(losses.min(), abs=1e-6)
    assert constant_loss("huber", np.full(3, 2.5)) == 0
    assert chance_loss("poisson", y, 1) is None
    assert floor_loss("poisson", y[:, None], y) is None


def test_floor_is_what_contradicting_rows_leave() -> None:
    x = np.array([[1.0], [1.0], [2.0], [3.0]])
    assert floor_loss("cross_entropy", x, np.array([0, 1, 1, 0])) == pytest.approx(np.log(2) / 2)
    assert floor_loss("mse", x, np.array([0.0, 2.0, 5.0, 7.0])) == pytest.approx(0.5)


def test_few_rows_have_every_class_and_differ() -> None:
    x = np.repeat(np.arange(50.0), 2).reshape(-1, 1)
    y = (np.arange(100) >= 94).astype(int)  # rare
    data = setting(made(x, y)).data(resolve({}))
    rows = few_rows(data)
    assert len(rows) == 20
    assert len(np.unique(data.x_train[rows], axis=0)) == 20
    assert (data.y_train[rows] == 1).sum() >= 2


def test_what_failing_networks_have_in_common() -> None:
    off = [resolve({"scaler": "none", "lr": lr}) for lr in (0.1, 0.2)]
    good = [resolve({"lr": 0.3})]
    assert in_common(off, good) == "scaler none"
    assert in_common(off, [*good, resolve({"scaler": "none"})]) is None
    assert in_common(off, []) is None
