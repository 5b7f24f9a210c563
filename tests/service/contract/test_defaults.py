"""The default space of a table is a space for every size and task, and the validation suits rows and classes."""

from __future__ import annotations

from typing import get_args

import pytest

from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.defaults import (
    BATCHES,
    EFFORTS,
    LOSS_OF,
    MANY_ROWS,
    PRESET,
    TIME_S,
    default_cv,
    default_parameters,
    for_stages,
    with_parameters,
)
from foldstep.service.contract.parse import cross_faults, parse_spec
from foldstep.service.contract.rules import task_faults
from foldstep.service.contract.spec import LEFT_OUT, CvSpec, Spec


def spec_of(**parts: object) -> Spec:
    return parse_spec({"name": "t", "data": {"dataset": "d"}, **parts})


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("n_rows", [2, 400, 401, 1500, 8000, 20_000, 10**5, 10**6])
def test_the_default_space_is_one_for_every_size_and_task(n_rows: int, task: Task) -> None:
    spec = with_parameters(spec_of(), default_parameters(n_rows), task)
    assert cross_faults(spec) == []
    assert list(task_faults(spec.space, task)) == []
    assert spec.preset is not None
    assert (spec.preset.name, {"hidden", "batch_size", "epochs"} <= set(spec.preset.own)) == (PRESET, True)
    for u in (0.0, 0.5, 0.99):
        assert resolve(spec.space.from_unit(dict.fromkeys(spec.space.parameters, u))).hidden


def test_small_tables_get_more_steps() -> None:
    epochs = [default_parameters(int(size.up_to or 10**6))["epochs"] for size in EFFORTS]
    greatest = [max(e) if isinstance(e, list) else e for e in epochs]
    assert greatest == sorted(greatest, reverse=True)
    assert greatest[0] > greatest[-1]
    batches = [default_parameters(int(size.up_to or 10**6))["batch_size"] for size in BATCHES]
    least = [min(b) if isinstance(b, list) else b for b in batches]
    assert least == sorted(least)
    assert least[0] < least[-1]


@pytest.mark.parametrize("n_rows", [300, 5000, 100_000])
def test_more_time_is_as_fewer_rows_for_epochs_and_widths(n_rows: int) -> None:
    longer, fewer = default_parameters(n_rows, time_s=10 * TIME_S), default_parameters(n_rows // 10)
    assert (longer["epochs"], longer["hidden"]) == (fewer["epochs"], fewer["hidden"])
    assert longer["batch_size"] == default_parameters(n_rows)["batch_size"]
    shorter = default_parameters(n_rows, time_s=TIME_S / 10)
    assert shorter["epochs"] == default_parameters(10 * n_rows)["epochs"]


@pytest.mark.parametrize("metric", LOSS_OF)
def test_a_deviance_has_its_loss_and_mse_which_alone_is_clamped(metric: str) -> None:
    spec = with_parameters(spec_of(), default_parameters(100, metric=metric), "regression")
    assert list(task_faults(spec.space, "regression")) == []
    drawn = [spec.space.from_unit({"loss": u}) for u in (0.0, 0.99)]
    assert [(p["loss"], p.get("clamp_output")) for p in drawn] == [(LOSS_OF[metric], None), ("mse", "train")]


def test_epochs_are_fixed_for_stages() -> None:
    assert for_stages(default_parameters(100))["epochs"] == 512
    assert for_stages(default_parameters(1000))["epochs"] == 256


@pytest.mark.parametrize(
    ("n_rows", "classes", "expected"),
    [
        (199, [], CvSpec(folds=5, repeats=2)),
        (199, [100, 99], CvSpec(folds=5, repeats=2)),
        (200, [100, 100], CvSpec(folds=5)),
        (MANY_ROWS, [], CvSpec(holdout=0.2)),
        (MANY_ROWS, [MANY_ROWS - 1, 1], CvSpec(holdout=0.2, stratify=False)),
        (6, [2, 2, 2], CvSpec(folds=2, repeats=2)),
        (20, [16, 4], CvSpec(folds=4, repeats=2)),
        (20, [19, 1], CvSpec(folds=5, repeats=2, stratify=False)),
        (1000, [997, 3], CvSpec(folds=5, stratify=False)),
        (3, [], CvSpec(folds=3, repeats=2)),
        (0, [], CvSpec(folds=2, repeats=2, stratify=False)),
    ],
)
def test_the_validation_suits_rows_and_classes(n_rows: int, classes: list[int], expected: CvSpec) -> None:
    assert default_cv(n_rows, classes) == expected


def test_only_a_spec_without_parameters_leaves_something_open() -> None:
    assert spec_of().left_out == list(LEFT_OUT)
    assert spec_of(metric="accuracy", budget={"trials": 3}).left_out == ["parameters", "cv"]
    assert spec_of(parameters={}).left_out == []
