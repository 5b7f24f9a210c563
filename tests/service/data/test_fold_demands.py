"""Metrics that a fold cannot have are refused before any training; what a fold cannot tell is noted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldstep.models.catalog.metrics import METRICS, metrics_of
from foldstep.service.contract.errors import Fault, SpecInvalid
from tests.service.data.test_resolve import Data

OF_WORDS = [name for name in metrics_of("classification") if METRICS[name].suits_any_target]
"""Metrics of classes that need no order."""
N = 40
RNG = np.random.default_rng(0)
COLUMNS: dict[str, list[Any]] = {
    "x": [float(v) for v in RNG.normal(size=N)],
    # fold b has one class, fold c one row
    "site": ["a"] * 20 + ["b"] * 19 + ["c"],
    "pair": ["yes" if i < 20 and i % 2 else "no" for i in range(N)],
    "kind": [("p", "q", "r")[i % 3] if i < 20 else ("p", "q")[i % 2] for i in range(N)],
    "late": ["new" if i >= 38 else "ab"[i % 2] for i in range(N)],
    "real": [float(i) * 0.7 if i < 20 else 3.5 for i in range(N)],
    "near": [float(i) if i < 20 else (i % 2) * 1e-170 for i in range(N)],
    "huge": [float(v) * 1e160 for v in RNG.normal(size=N)],
    "zeros": [float(i % 4) if i < 20 else 0.0 for i in range(N)],
    "rare": ["left" if i % 10 == 3 else "stayed" for i in range(N)],
    "second": ["went" if i % 10 == 3 else "stayed" for i in range(N)],
    "letter": ["a" if i < 30 else "bcdefghijk"[i % 10] for i in range(N)],
    "even": ["ab"[i % 2] for i in range(N)],
    "half": [float(i % 2) for i in range(N)],
    "day": [float(i) for i in range(N)],
    "group": [f"g{i // 10}" for i in range(N)],
}
COLUMN = {"column": "site"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("demands"), COLUMNS)


def fault(table: Data, target: str, metric: str, cv: dict[str, Any]) -> Fault:
    with pytest.raises(SpecInvalid) as error:
        table.resolve(data={"target": target}, metric=metric, cv=cv)
    (only,) = error.value.faults
    assert (only.code, only.path) == ("undefined_metric", "metric.name")
    return only


def notes(table: Data, target: str, metric: str, cv: dict[str, Any]) -> list[str]:
    return table.resolve(data={"target": target}, metric=metric, cv=cv).notes


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc"])
def test_an_area_of_a_fold_with_one_class_is_refused_with_the_ways_out(table: Data, metric: str) -> None:
    found = fault(table, "pair", metric, COLUMN)
    assert found.expected == f"rows of at least two classes in the validation part of every fold, which {metric} needs"
    assert found.got == "the class no in all 19 rows of fold 1 (site = b), the first of 2 such folds"
    assert found.hint == (
        "give site fewer values, each with several classes, "
        "or set metric: accuracy, balanced_accuracy, f1, mcc, log_loss or brier"
    )  # fmt: skip


REFUSED: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("kind", "roc_auc", COLUMN, "the class q in the only row of fold 2 (site = c)", "give site fewer values"),
    ("pair", "roc_auc", {"folds": 8, "stratify": False}, "such folds", "leave cv.stratify out"),
    ("pair", "roc_auc", {"folds": 3, "time": "day"},
     "the class no in all 10 rows of fold 1 (of 0 to 2), the first of 2", "take fewer folds, or set metric"),
    ("pair", "roc_auc", {"holdout": 0.1, "time": "day"}, "the class no in all 4 rows of the holdout", "hold out more"),
    ("pair", "roc_auc", {"folds": 4, "group": "group"}, "the class no in all 10 rows of fold", "take fewer folds"),
    ("pair", "roc_auc", {"holdout": 0.05, "repeats": 4, "stratify": False}, "such folds", "hold out more rows"),
    ("real", "r2", COLUMN, "3.5 in all 19 rows of fold 1 (site = b), the first of 2 such folds",
     "give site fewer values, each with several rows, or set metric: rmse, mse or mae"),
    ("real", "r2", {"folds": 40}, "in the only row of fold 0 (of 0 to 39), the first of 40 such folds", "take fewer"),
    ("near", "r2", {"holdout": 0.2, "time": "day"}, "in all 8 rows of the holdout", "hold out more rows"),
]  # fmt: skip


@pytest.mark.parametrize(("target", "metric", "cv", "got", "hint"), REFUSED)
def test_every_split_is_looked_at(
    table: Data, target: str, metric: str, cv: dict[str, Any], got: str, hint: str
) -> None:
    found = fault(table, target, metric, cv)
    assert got in (found.got or "")
    assert hint in (found.hint or "")


@pytest.mark.parametrize("metric", [m for m in OF_WORDS if not METRICS[m].needs_two_values])
def test_other_metrics_of_such_folds_are_fine(table: Data, metric: str) -> None:
    baseline = table.resolve(data={"target": "pair"}, metric=metric, cv=COLUMN).problem.baseline
    assert baseline is not None
    assert np.isfinite(baseline)


def test_counts_that_are_all_zero_are_fine(table: Data) -> None:
    problem = table.resolve(
        data={"target": "zeros", "task": "regression"}, metric="poisson_deviance", cv=COLUMN
    ).problem
    assert problem.baseline is not None


@pytest.mark.parametrize("metric", ["mse", "rmse"])
def test_a_target_whose_squares_overflow_is_refused_and_mae_is_fine(table: Data, metric: str) -> None:
    found = fault(table, "huge", metric, {"folds": 4})
    assert found.expected == f"a finite {metric} of the constant answer in every fold"
    assert found.got == "inf in fold 0 (of 0 to 3), the first of 4 such folds"
    assert "divide the target by a power of ten" in (found.hint or "")
    assert table.resolve(data={"target": "huge"}, metric="mae").problem.baseline is not None


def test_a_wrong_metric_is_told_once(table: Data) -> None:
    assert table.faults(data={"target": "real"}, metric="roc_auc", cv=COLUMN) == {("metric.name", "contradiction")}


def test_a_fold_that_trains_without_a_class_is_noted(table: Data) -> None:
    cv = {"folds": 3, "time": "day"}
    said = "Fold 2 (of 0 to 2) trains without the class new, which its validation part has"
    for metric in OF_WORDS:
        assert [n for n in notes(table, "late", metric, cv) if n.startswith(said)], metric
    assert not [n for n in notes(table, "late", "accuracy", {"folds": 2}) if "trains without" in n]


def test_a_fold_that_validates_without_a_class_is_noted_where_classes_count_alike(table: Data) -> None:
    cv = {"folds": 2, "time": "day", "stratify": None}
    said = [n for n in notes(table, "kind", "roc_auc", cv) if "validates without" in n]
    assert said == ["Fold 1 (of 0 to 1) validates without the class r: roc_auc is there the mean over the others."]
    assert not [n for n in notes(table, "kind", "accuracy", cv) if "validates without" in n]
    (f1,) = [n for n in notes(table, "pair", "f1", COLUMN) if "validates without" in n]
    assert f1 == (
        "Fold 1 (site = b) validates without the class yes: f1 is 0 there whatever is said. "
        "The like holds of 1 other fold."
    )


def test_classes_so_unequal_that_a_constant_looks_good_are_said(table: Data) -> None:
    said = (
        "Class stayed has 90 % of the rows: a constant answer has accuracy 0.9; "
        "consider metric: balanced_accuracy, roc_auc, pr_auc, mcc, log_loss or brier."
    )
    found = table.resolve(data={"target": "rare"}, cv={"folds": 4})
    assert said in found.notes
    assert found.problem.baseline == pytest.approx(0.9)


@pytest.mark.parametrize(("target", "metric", "is_said"), [
    ("rare", "accuracy", True), ("rare", "balanced_accuracy", False), ("rare", "roc_auc", False),
    ("rare", "log_loss", False), ("even", "accuracy", False), ("letter", "accuracy", True),
    ("rare", "f1", True), ("second", "f1", False), ("second", "accuracy", True),
])  # fmt: skip
def test_it_is_said_where_such_a_metric_flatters(table: Data, target: str, metric: str, is_said: bool) -> None:
    cv = {"folds": 4, "stratify": False} if metric != "roc_auc" else {"folds": 2}
    assert any(n.startswith("Class ") for n in notes(table, target, metric, cv)) is is_said


def test_the_baseline_of_a_search_is_that_of_its_folds(table: Data) -> None:
    problem = table.resolve(data={"target": "pair"}, metric="accuracy", cv=COLUMN).problem
    # trained without site a there is "no" alone, else "no" is commonest: 10 of 20, 19 of 19, 1 of 1
    assert problem.baseline == pytest.approx((0.5 + 1 + 1) / 3)
    assert table.resolve(data={"target": "even"}, metric="roc_auc").problem.baseline == 0.5
