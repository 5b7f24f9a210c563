"""Several targets of one search against its data: kinds, rows that are left out, the baseline, and every misfit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import log_loss, r2_score

from foldstep.models.catalog.metrics import metrics_of, metrics_of_numbers
from foldstep.service.contract.columns import column_from_arrow
from foldstep.service.contract.errors import InvalidInput, SpecInvalid
from foldstep.service.contract.problem import ResolvedProblem
from foldstep.service.data.target_report import report
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import read_table
from tests.service.data.test_resolve import COLUMNS, Data

N = 60
MORE: dict[str, list[Any]] = {
    **COLUMNS,
    "amount": [1000.0 * (i % 13) + i for i in range(N)],
    "holes": [None if i % 20 == 3 else float(i * i) for i in range(N)],
    "spam": [float(i % 4 == 0) for i in range(N)],
    "mood": ["sad" if i % 3 else "glad" for i in range(N)],
    "born": [datetime(2020, 1, 1 + i % 28) for i in range(N)],
    "hidden": [float(i) if i % 20 == 3 else 2.0 for i in range(N)],
    "gap": ["yes" if i in (3, 7) else "no" for i in range(N)],
    "mood_gaps": [None if i in (3, 7) else "ab"[i % 2] for i in range(N)],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("several"), MORE)


def of(*targets: str, **more: Any) -> dict[str, Any]:
    return {"data": {"target": list(targets), **more}}


def test_numbers_are_a_regression_of_several_targets(table: Data) -> None:
    found = table.resolve(**of("real", "amount"))
    problem = found.problem
    assert (problem.task, problem.target, problem.metric.name) == ("regression", ["real", "amount"], "r2")
    assert problem.n_outputs == 2
    assert problem.features is not None
    assert not {"real", "amount"} & set(problem.features)
    assert found.notes[:2] == [
        "real and amount are numbers: treated as a regression of several targets.",
        "The metric is r2, the default of regression with several targets, the mean over them.",
    ]
    assert ResolvedProblem.model_validate_json(found.model_dump_json()) == found


def test_columns_of_two_values_are_labels(table: Data) -> None:
    found = table.resolve(**of("spam", "mood"))
    problem = found.problem
    assert (problem.task, problem.metric.name, problem.n_outputs) == ("multilabel", "log_loss", 2)
    assert found.notes[0].startswith("Each of spam and mood has two values: treated as labels;")
    numbers = table.resolve(**of("spam", "flag", task="multilabel"), metric="accuracy")
    assert "accuracy is the mean over the labels." in numbers.notes


def test_one_name_in_a_list_is_one_target(table: Data) -> None:
    assert table.resolve(**of("real")).problem == table.resolve(data={"target": "real"}).problem


@pytest.mark.parametrize("targets", [("holes", "real"), ("spam", "mood_gaps")])
def test_rows_that_lack_a_target_are_left_out_and_said(table: Data, targets: tuple[str, str]) -> None:
    for more in ({}, {"test": 0.2}, {"test": {"column": "part"}}):
        found = table.resolve(**of(*targets, **more))
        missing = {i for i in range(N) if any(MORE[name][i] is None for name in targets)}
        words = f"{len(missing)} rows are left out of training, validation and test, for a target has no value there ("
        assert any(note.startswith(words) for note in found.notes), found.notes
        splits = FoldSource(read_table(table.file), found.problem).splits
        validated = {int(row) for _, valid in splits.folds for row in valid}
        assert validated | set(splits.test.tolist()) == set(range(N)) - missing
        assert bool(len(splits.test)) == bool(more)


def test_the_baseline_is_the_mean_over_the_targets(table: Data) -> None:
    for targets, metric in ((("real", "holes"), "r2"), (("spam", "mood"), "log_loss")):
        problem = table.resolve(**of(*targets), metric=metric).problem
        source = FoldSource(read_table(table.file), problem)
        columns = [column_from_arrow(pq.read_table(table.file).column(name).combine_chunks()) for name in targets]
        values = [c.codes if hasattr(c, "codes") else c.values for c in columns]
        scores = []
        for train, valid in source.splits.folds:
            for y in values:
                if metric == "r2":
                    said = DummyRegressor().fit(train[:, None], y[train]).predict(valid[:, None])
                    scores.append(r2_score(y[valid], said))
                else:
                    shares = (
                        DummyClassifier(strategy="prior").fit(train[:, None], y[train]).predict_proba(valid[:, None])
                    )
                    scores.append(log_loss(y[valid], shares))
        assert problem.baseline == pytest.approx(np.mean(scores), rel=1e-9)


def test_targets_of_very_different_sizes_are_said(table: Data) -> None:
    notes = table.resolve(**of("real", "amount"), metric="rmse").notes
    assert any("amount is spread wider than real by more than ten times" in note for note in notes)
    assert not [note for note in table.resolve(**of("real", "amount"), metric="r2").notes if "spread" in note]


def test_metrics_of_several_targets_ask_nothing_of_a_target() -> None:
    assert metrics_of_numbers() == ("r2", "rmse", "mse", "mae")
    assert metrics_of("multilabel") == (
        "log_loss", "accuracy", "balanced_accuracy", "f1", "roc_auc", "pr_auc", "mcc", "brier",
    )  # fmt: skip


MISFITS: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    "twice": (of("real", "amount", "real"), {("data.target", "named_twice")}),
    "unknown": (of("real", "reel"), {("data.target", "unknown_column")}),
    "ignored": (of("real", "amount", ignore=["amount"]), {("data.ignore.0", "contradiction")}),
    "gives the folds": ({**of("real", "fold"), "cv": {"column": "fold"}}, {("cv.column", "contradiction")}),
    "weight": (of("real", "amount", weight="amount"), {("data.weight", "contradiction")}),
    "not read": (of("real", "amount", types={"amount": "ignore"}), {("data.types.amount", "contradiction")}),
    "mixed": (of("mood", "real"), {("data.target", "mixed_targets")}),
    "text as numbers": (of("mood", "real", task="regression"), {("data.task", "contradiction")}),
    "three classes": (of("mood", "lonely", task="multilabel"), {("data.target", "not_two_values")}),
    "one value": (of("mood", "constant"), {("data.target", "constant_target"), ("data.target", "mixed_targets")}),
    "classes": (of("spam", "mood", task="classification"), {("data.task", "contradiction")}),
    "one label": ({"data": {"target": "spam", "task": "multilabel"}}, {("data.task", "contradiction")}),
    "no value": (of("real", "nothing"), {("data.target", "constant_target"), ("data.target", "missing_values")}),
    "endless": (of("real", "endless"), {("data.target", "not_finite")}),
    "loss of one": ({**of("real", "amount"), "parameters": {"loss": "gamma"}}, {("parameters.loss", "contradiction")}),
    "loss of classes": ({**of("spam", "mood"), "parameters": {"loss": "cross_entropy"}},
                        {("parameters.loss", "contradiction")}),
    "loss of numbers": ({**of("spam", "mood"), "parameters": {"loss": ["label_cross_entropy", "mse"]}},
                        {("parameters.loss", "contradiction")}),
    "loss of labels": ({"data": {"target": "text"}, "parameters": {"loss": "label_cross_entropy"}},
                       {("parameters.loss", "contradiction")}),
    "quantiles": ({**of("real", "amount", quantiles=[0.5]), "parameters": {"loss": "quantile"}},
                  {("data.quantiles", "contradiction"), ("parameters.loss", "contradiction")}),
    "exposure": ({**of("real", "amount", exposure="group_size")}, {("data.exposure", "contradiction")}),
    "metric of one": ({**of("real", "amount"), "metric": "pinball"}, {("metric.name", "contradiction")}),
    "metric of numbers": ({**of("spam", "mood"), "metric": "rmse"}, {("metric.name", "contradiction")}),
    "class weights": ({**of("spam", "mood"), "parameters": {"class_weight": "balanced"}},
                      {("parameters.class_weight", "contradiction")}),
    "smoothing by frequencies": ({**of("spam", "mood"), "parameters": {"label_smoothing_to": "frequencies"}},
                                 {("parameters.label_smoothing_to", "contradiction")}),
    "transform of labels": ({**of("spam", "mood"), "parameters": {"target_transform": "quantile"}},
                            {("parameters.target_transform", "contradiction")}),
    "log below zero": ({**of("amount", "negative"), "parameters": {"target_transform": "log"}},
                       {("parameters.target_transform", "negative_target")}),
    "a list in a list": ({"data": {"target": [["real", "amount"]]}}, {("data.target.0", "wrong_type")}),
    "one value where all are": (of("holes", "hidden"), {("data.target", "constant_target")}),
    "one label where all are": (of("spam", "mood_gaps", "gap"), {("data.target", "constant_target")}),
    "stratify": ({**of("spam", "mood"), "cv": {"folds": 3, "stratify": True}}, {("cv.stratify", "contradiction")}),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "expected"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_go_with_several_targets_is_refused(
    table: Data, parts: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    assert table.faults(**parts) >= expected


def test_an_exposure_of_several_targets_is_refused_once(table: Data) -> None:
    """The loss that an exposure needs is no loss of several targets, and is not asked for."""
    with pytest.raises(SpecInvalid) as refused:
        table.resolve(**of("real", "amount", exposure="group_size"))
    assert [fault.expected for fault in refused.value.faults] == ["no exposure with several targets"]


def test_an_empty_list_of_targets_says_what_belongs_there(table: Data) -> None:
    with pytest.raises(SpecInvalid) as refused:
        table.resolve(**of())
    expected = [("data.target", "the column to predict, or several")]
    assert [(fault.path, fault.expected) for fault in refused.value.faults] == expected


@pytest.mark.parametrize(
    ("targets", "got"),
    [
        (("mood", "lonely"), "lonely with 3 texts"),
        (("mood", "real"), "mood with 2 texts beside real, numbers"),
        (("mood", "constant"), "mood with 2 texts beside constant, numbers"),
    ],
)
def test_the_column_that_is_no_label_is_named(table: Data, targets: tuple[str, ...], got: str) -> None:
    with pytest.raises(SpecInvalid) as refused:
        table.resolve(**of(*targets))
    assert [fault.got for fault in refused.value.faults if fault.code == "mixed_targets"] == [got]


def test_dates_among_labels_are_refused_as_dates_alone(table: Data) -> None:
    assert table.faults(**of("mood", "born")) == {("data.target", "wrong_type")}


def test_a_report_has_the_findings_of_each_target(table: Data) -> None:
    found = report(table.description, table.file, ["holes", "mood_gaps"]).target
    assert found is not None
    assert (found.name, found.names) == ("holes, mood_gaps", ("holes", "mood_gaps"))
    rows = [f.sentence for f in found.findings if f.code == "rows_left_out"]
    assert rows == [
        "holes has no value in 3 rows, which a search with several targets leaves out.",
        "mood_gaps has no value in 2 rows, which a search with several targets leaves out.",
    ]
    assert not [f for f in found.findings if f.code == "unusable_target"]
    with pytest.raises(InvalidInput, match="each target once, got holes twice"):
        report(table.description, table.file, ["holes", "real", "holes"])
