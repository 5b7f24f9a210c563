"""Healthy searches pass every check; the report is the same every time, and bounded in size and time."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.defaults import default_parameters
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.spec import CvSpec
from foldstep.service.planner.candidates import candidates
from foldstep.worker.checks.chance import _LEVELS, chance_loss, constant_loss, floor_loss
from foldstep.worker.checks.overfit import few_rows
from foldstep.worker.checks.run import CHECKS, run_checks
from foldstep.worker.checks.setting import MAX_ROWS, MAX_WIDTH, MAX_WORK, CheckSetting, in_common
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from tests.oracle.losses import loss_module
from tests.worker.checks.settings import WIDE, bundled, made, setting
from tests.worker.train.data import problem, source

OF_TASK: dict[Task, str | FoldSource] = {
    "classification": "wine", "regression": "diabetes", "multilabel": source("wine", n_rows=178, labels=True),
}  # fmt: skip
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


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "digits"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_default_space_passes(name: str, seed: int) -> None:
    """Its networks have weights of about 1, a decay that ends before the training does, and factors without decay."""
    here = setting(name, seed, **default_parameters(400))
    results = [check(here) for check in CHECKS.values()]
    assert [(r.name, r.outcome) for r in results] == [(c, "passed") for c in CHECKS], results


def test_checks_of_several_targets_pass_and_find_shuffled_ones() -> None:
    targets = source("diabetes", n_rows=400, targets=True)
    results = [check(setting(targets, 0, loss=["mse", "huber"])) for check in CHECKS.values()]
    assert [result for result in results if result.outcome != "passed"] == []


@pytest.mark.parametrize("name", ["target", "other"])
def test_one_shuffled_target_beside_another_is_found_whatever_its_unit(name: str) -> None:
    table = dict(source("diabetes", n_rows=400, targets=True)._table.columns)
    column = table[name]
    assert isinstance(column, NumberColumn)
    table[name] = NumberColumn(np.random.default_rng(0).permutation(column.values))
    shuffled = FoldSource(Table(table), problem("regression", CvSpec(folds=5), targets=["target", "other"]))
    found = CHECKS["labels"](setting(shuffled))
    assert found.outcome == "failed"
    assert f"the loss of {name} is" in found.sentence


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss not in ("cross_entropy", "mse", "mae", "huber")])
def test_no_loss_makes_a_healthy_search_fail(loss: str) -> None:
    here = setting(OF_TASK[LOSSES[loss].task], 0, loss=loss)
    results = [check(here) for check in CHECKS.values()]
    assert [result for result in results if result.outcome == "failed"] == []


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


def test_the_work_of_an_input_stage_counts() -> None:
    rng = np.random.default_rng(0)
    wide = made(rng.normal(size=(900, 40)), rng.integers(2, size=900))
    space = {"width": [8, 9, 10, 11, 12, 13, 14, 16], "number_embedding": "piecewise", "embedding_bins": 1024,
             "embedding_size": 128}  # fmt: skip
    here = setting(wide, **space)
    sizes = [here.data(hp).n_parameters(hp) for hp in here.candidates]
    assert min(sizes) > MAX_WORK, "one alone is more than all may be"
    assert len(sizes) == 1, "the others are left out"


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
    y = np.array([0, 2, 1]) if LOSSES[loss].task == "classification" else np.array([-1.0, 0.0, 4.0])
    y = np.array([[0, 1], [1, 1], [0, 1]]) if LOSSES[loss].task == "multilabel" else y
    has_none = LOSSES[loss].link == "log" or LOSSES[loss].has_levels
    assert (chance_loss(loss, y, 3) is None) == (constant_loss(loss, y) is None) == has_none


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


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge", "focal", "ordinal"])
@pytest.mark.parametrize("number", [0.5, 2.0])
def test_levels_of_classes_are_those_of_the_loss(loss: str, number: float) -> None:
    """The oracle's loss at equal outputs is that of chance, and no constant outputs go below the constant one."""
    y = np.array([0, 0, 0, 0, 1, 3, 3, 2, 0])
    hp, truth = resolve({"loss": loss, "focal_gamma": number}), torch.from_numpy(y)
    data = made(np.arange(90.0).reshape(-1, 1), np.tile(y, 10)).fold(0, Preparation("none"))
    of = partial(loss_module(hp, data, torch.float64), weights=torch.ones(9))
    assert chance_loss(loss, y, 4, hp.loss_number) == pytest.approx(of(torch.zeros(9, 4, dtype=torch.float64), truth))
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        value = of(logits.expand(9, 4), truth)
        value.backward()
        return value

    for _ in range(20):
        search.step(closure)
    found = constant_loss(loss, y, hp.loss_number)
    assert found == pytest.approx(float(closure().detach()), abs=0.2 if loss == "hinge" else 1e-5)
    assert found is not None
    around = logits.detach() + torch.randn(2000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert min(float(of(row.expand(9, 4), truth)) for row in around) >= found - 1e-9


@pytest.mark.parametrize("loss", [name for name, loss in LOSSES.items() if loss.has_targets])
def test_levels_of_several_targets_are_the_means_of_their_levels(loss: str) -> None:
    if LOSSES[loss].task == "multilabel":
        y, of_one = np.array([[0, 1], [0, 1], [1, 1], [0, 0]]), "cross_entropy"
        alone = [chance_loss(of_one, label, 2) for label in y.T]
    else:
        y, of_one = np.array([[-3.0, 40.0], [0.0, 42.0], [0.5, 70.0], [2.5, 41.0]]), loss
        alone = [chance_loss(of_one, target, 1, 0.7) for target in y.T]
    assert chance_loss(loss, y, 2, 0.7) == pytest.approx(np.mean(np.array(alone, float)))
    constants = np.array([constant_loss(of_one, target, 0.7) for target in y.T], float)
    assert constant_loss(loss, y, 0.7) == pytest.approx(constants.mean())
    x = np.array([[1.0], [1.0], [2.0], [3.0]])
    floors = np.array([floor_loss(of_one, x, target, 0.7) for target in y.T], float)
    assert floor_loss(loss, x, y, 0.7) == pytest.approx(floors.mean())


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
