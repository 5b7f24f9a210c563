"""A spec against its data: what is inferred, and every misfit by path and code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import ResolvedProblem
from foldstep.service.contract.spec import Spec
from foldstep.service.data.child import resolve_in_child
from foldstep.service.data.ingest import ingest
from foldstep.service.data.resolve import resolve_problem
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import read_table

N = 60
COLUMNS: dict[str, list[Any]] = {
    "x": [i / 7 for i in range(N)],
    "text": ["yes" if i % 3 else "no" for i in range(N)],
    "digit": [float(i % 10) for i in range(N)],
    "real": [i * 0.37 for i in range(N)],
    "many": [float(i) for i in range(N)],
    "flag": [i % 2 == 0 for i in range(N)],
    "constant": [1.0] * N,
    "gaps": [None if i == 5 else float(i) for i in range(N)],
    "text_gaps": [None if i == 5 else "ab"[i % 2] for i in range(N)],
    "endless": [float("inf") if i == 5 else float(i) for i in range(N)],
    "negative": [i - 30.5 for i in range(N)],
    "lonely": ["rare" if i == 0 else "ab"[i % 2] for i in range(N)],
    "fold": [float(i % 4) for i in range(N)],
    "group": [f"g{i % 6}" for i in range(N)],
    "group_size": [1.0 + i % 6 for i in range(N)],
    "day": [float(i // 2) for i in range(N)],
    "part": ["Test" if i < 12 else "train" for i in range(N)],
    "part_all": ["test"] * N,
    "part_none": [0.0] * N,
    "nothing": [None] * N,
}


class Data:
    def __init__(self, folder: Path, columns: dict[str, list[Any]]) -> None:
        pq.write_table(pa.table({n: pa.array(v) for n, v in columns.items()}), folder / "t.parquet")
        self.description: DatasetDescription = ingest(folder / "t.parquet", into=folder)
        self.file = folder / f"{self.description.fingerprint}.parquet"

    def resolve(self, **parts: Any) -> ResolvedProblem:
        return resolve_problem(spec_of(**parts), self.description, self.file)

    def faults(self, **parts: Any) -> set[tuple[str, str]]:
        with pytest.raises(SpecInvalid) as error:
            self.resolve(**parts)
        return {(f.path, f.code) for f in error.value.faults}


def spec_of(*, data: dict[str, Any] | None = None, **parts: Any) -> Spec:
    """Make a spec of one network with all defaults; tests/service/data/test_zero.py has those without parameters."""
    whole = {"name": "t", "data": {"dataset": "t.parquet", **(data or {})}, "parameters": {}, **parts}
    return parse_spec(whole)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("check"), COLUMNS)


@pytest.mark.parametrize(
    ("target", "task", "metric", "note"),
    [
        ("text", "classification", "accuracy", "text has 2 classes of text: treated as classification."),
        ("digit", "classification", "accuracy", "digit has 10 different whole numbers: treated as classification; "
         "set data.task: regression where they are quantities."),
        ("flag", "classification", "accuracy", "flag has 2 classes of text: treated as classification."),
        ("real", "regression", "rmse", "real has 60 different numbers: treated as regression."),
        ("many", "regression", "rmse", "many has 60 different numbers: treated as regression."),
    ],
)  # fmt: skip
def test_the_task_is_inferred_and_said(table: Data, target: str, task: str, metric: str, note: str) -> None:
    found = table.resolve(data={"target": target})
    problem = found.problem
    assert (problem.task, problem.metric.name, problem.target) == (task, metric, target)
    assert (problem.data.task, problem.data.target) == (task, target)
    assert found.notes[0] == note
    assert found.notes[1] == f"The metric is {metric}, the default of {task}."
    assert "nothing is left out: no row has a value." in found.notes


def test_what_is_given_is_taken_without_a_note(table: Data) -> None:
    found = table.resolve(data={"target": "digit", "task": "regression"}, metric={"name": "r2", "target": 0.9})
    problem = found.problem
    assert (problem.task, problem.metric.name, problem.metric.target) == ("regression", "r2", 0.9)
    assert not [note for note in found.notes if note.startswith(("digit", "The metric"))]


def test_metrics_of_two_classes_over_more_are_said(table: Data) -> None:
    assert "roc_auc over 10 classes is the mean of each class against the rest." in (
        table.resolve(data={"target": "digit"}, metric="roc_auc").notes
    )
    assert not [n for n in table.resolve(data={"target": "text"}, metric="f1").notes if "mean of" in n]


FINE: list[dict[str, Any]] = [
    {"data": {"target": "real"}, "parameters": {"optimizer": ["adam", "lbfgs"]}},
    {"data": {"target": "real"}, "cv": {"folds": 3}, "parameters": {"optimizer": "lbfgs", "batch_size": 40}},
    {"data": {"target": "real"},
     "parameters": {"optimizer": ["adam", "lbfgs"], "batch_size": {"choices": [8, 16], "when": {"optimizer": "adam"}}}},
    {"data": {"target": "real"}, "cv": {"folds": 6, "group": "group"},
     "parameters": {"optimizer": "lbfgs", "batch_size": 50}},
    {"data": {"target": "digit"}, "parameters": {"class_weight": {3: 2, "4": 0.5}}},
    {"data": {"target": "text"}, "parameters": {"class_weight": [{"yes": 2}, "balanced"], "loss": "cross_entropy"}},
    {"data": {"target": "many", "exposure": "group_size"}, "parameters": {"loss": "poisson"}},
    {"data": {"target": "text", "weight": "group_size"}},
    {"data": {"target": "digit"}, "metric": "top_5_accuracy"},
    {"data": {"target": "many", "quantiles": [0.1, 0.9]}, "parameters": {"loss": "quantile"}},
    {"data": {"target": "real"}, "parameters": {"loss": ["mse", "mae", "huber", "poisson"]}},
]  # fmt: skip


@pytest.mark.parametrize("parts", FINE)
def test_what_only_looks_like_a_misfit_is_fine(table: Data, parts: dict[str, Any]) -> None:
    assert table.resolve(**parts).problem.n_folds > 1


FOLDS: list[tuple[dict[str, Any], int]] = [
    ({}, 5),
    ({"cv": {"folds": 3, "repeats": 4}}, 12),
    ({"cv": {"holdout": 0.2}}, 1),
    ({"cv": {"holdout": 0.2, "repeats": 3}}, 3),
    ({"cv": {"column": "fold"}}, 4),
    ({"cv": {"folds": 6, "group": "group"}}, 6),
    ({"cv": {"folds": 5, "time": "day"}}, 5),
]


@pytest.mark.parametrize(("parts", "n_folds"), FOLDS)
def test_the_number_of_folds(table: Data, parts: dict[str, Any], n_folds: int) -> None:
    assert table.resolve(data={"target": "text"}, **parts).problem.n_folds == n_folds


MISFITS: list[tuple[str, dict[str, Any], set[tuple[str, str]]]] = [
    ("no target", {}, {("data.target", "missing")}),
    ("unknown target", {"data": {"target": "txet"}}, {("data.target", "unknown_column")}),
    ("constant", {"data": {"target": "constant"}}, {("data.target", "constant_target")}),
    ("no value", {"data": {"target": "nothing"}},
     {("data.target", "constant_target"), ("data.target", "missing_values")}),
    ("gaps", {"data": {"target": "gaps"}}, {("data.target", "missing_values")}),
    ("gaps in text", {"data": {"target": "text_gaps"}}, {("data.target", "missing_values")}),
    ("infinity", {"data": {"target": "endless"}}, {("data.target", "not_finite")}),
    ("regression on text", {"data": {"target": "text", "task": "regression"}}, {("data.task", "contradiction")}),
    ("metric of the inferred task", {"data": {"target": "text"}, "metric": "rmse"}, {("metric.name", "contradiction")}),
    ("among more than there are", {"data": {"target": "text"}, "metric": "top_3_accuracy"},
     {("metric.name", "contradiction")}),
    ("among as many as there are", {"data": {"target": "digit"}, "metric": "top_10_accuracy"},
     {("metric.name", "contradiction")}),
    ("negative counts", {"data": {"target": "negative"}, "metric": "poisson_deviance"},
     {("metric.name", "negative_target")}),
    ("no amounts to score", {"data": {"target": "many"}, "metric": "gamma_deviance"},
     {("metric.name", "negative_target")}),
    ("no logarithm",
     {"data": {"target": "many", "task": "regression"}, "parameters": {"target_transform": ["none", "log"]}},
     {("parameters.target_transform", "negative_target")}),
    ("transformed classes",
     {"data": {"target": "text"}, "parameters": {"target_transform": "quantile", "clamp_output": "train"}},
     {("parameters.target_transform", "contradiction"), ("parameters.clamp_output", "contradiction")}),
    ("transformed counts", {"data": {"target": "many", "task": "regression"},
     "parameters": {"loss": ["mse", "poisson"], "target_transform": "quantile"}},
     {("parameters.target_transform", "contradiction")}),
    ("no amounts to learn", {"data": {"target": "many"}, "parameters": {"loss": "gamma"}},
     {("parameters.loss", "negative_target")}),
    ("ordinal without an order", {"data": {"target": "text"}, "parameters": {"loss": "ordinal"}},
     {("parameters.loss", "contradiction")}),
    ("an ordinal metric without an order", {"data": {"target": "text"}, "metric": "ordinal_mae"},
     {("metric.name", "contradiction")}),
    ("stratified regression", {"data": {"target": "real"}, "cv": {"folds": 2, "stratify": True}},
     {("cv.stratify", "contradiction")}),
    ("negative counts to learn", {"data": {"target": "negative"}, "parameters": {"loss": ["mse", "poisson"]}},
     {("parameters.loss", "negative_target")}),
    ("a loss of the other task", {"data": {"target": "real"}, "parameters": {"loss": "cross_entropy"}},
     {("parameters.loss", "contradiction")}),
    ("a loss of the inferred task", {"data": {"target": "text"}, "parameters": {"loss": ["cross_entropy", "mae"]}},
     {("parameters.loss", "contradiction")}),
    ("weight of no class", {"data": {"target": "text"}, "parameters": {"class_weight": {"yes": 2, "noo": 1}}},
     {("parameters.class_weight.noo", "unknown_class")}),
    ("weight of no class among choices",
     {"data": {"target": "digit"}, "parameters": {"class_weight": ["none", {3: 2.0}, {10: 2.0}]}},
     {("parameters.class_weight.10", "unknown_class")}),
    ("class weights for numbers", {"data": {"target": "real"}, "parameters": {"class_weight": "balanced"}},
     {("parameters.class_weight", "contradiction")}),
    ("quantiles of classes", {"data": {"target": "text", "quantiles": [0.5]}, "parameters": {"loss": "quantile"}},
     {("data.quantiles", "contradiction"), ("parameters.loss", "contradiction")}),
    ("weight of text", {"data": {"target": "many", "weight": "group"}}, {("data.weight", "wrong_type")}),
    ("weight of zero", {"data": {"target": "many", "weight": "x"}}, {("data.weight", "bad_weight")}),
    ("weight unknown", {"data": {"target": "many", "weight": "why"}}, {("data.weight", "unknown_column")}),
    ("weight by the target", {"data": {"target": "many", "weight": "many"}}, {("data.weight", "contradiction")}),
    ("exposure of text", {"data": {"target": "many", "exposure": "group"}, "parameters": {"loss": "poisson"}},
     {("data.exposure", "wrong_type")}),
    ("exposure of zero", {"data": {"target": "many", "exposure": "x"}, "parameters": {"loss": "poisson"}},
     {("data.exposure", "bad_exposure")}),
    ("exposure with gaps", {"data": {"target": "many", "exposure": "gaps"}, "parameters": {"loss": "poisson"}},
     {("data.exposure", "bad_exposure")}),
    ("exposure unknown", {"data": {"target": "many", "exposure": "why"}, "parameters": {"loss": "poisson"}},
     {("data.exposure", "unknown_column")}),
    ("an embedding of numbers that are not there",
     {"data": {"target": "text", "ignore": [name for name in COLUMNS if name not in ("text", "text_gaps", "group")]},
      "parameters": {"number_embedding": ["none", "pbld"]}}, {("parameters.number_embedding", "contradiction")}),
    ("lbfgs on batches", {"data": {"target": "real"}, "parameters": {"optimizer": ["adam", "lbfgs"], "batch_size": 32}},
     {("parameters.batch_size", "contradiction")}),
    ("lbfgs, now and then on batches",
     {"data": {"target": "real"}, "cv": {"folds": 3},
      "parameters": {"optimizer": "lbfgs", "batch_size": {"low": 39, "high": 60}}},
     {("parameters.batch_size", "contradiction")}),
    ("lbfgs on batches of groups",
     {"data": {"target": "real"}, "cv": {"folds": 6, "group": "group"},
      "parameters": {"optimizer": "lbfgs", "batch_size": 49}}, {("parameters.batch_size", "contradiction")}),
    ("a class of one", {"data": {"target": "lonely"}}, {("cv.folds", "too_few_of_class")}),
    ("a class of one, holdout", {"data": {"target": "lonely"}, "cv": {"holdout": 0.5}},
     {("cv.holdout", "too_few_of_class")}),
    ("a class that only the test part has", {"data": {"target": "lonely", "test": {"column": "part"}}},
     {("cv.folds", "too_few_of_class")}),
    ("folds of digits", {"data": {"target": "digit"}, "cv": {"folds": 7}}, {("cv.folds", "too_few_of_class")}),
    ("folds of digits after the test part", {"data": {"target": "digit", "test": 0.2}, "cv": {"folds": 6}},
     {("cv.folds", "too_few_of_class")}),
    ("folds of rows", {"data": {"target": "real"}, "cv": {"folds": 61}}, {("cv.folds", "too_few")}),
    ("folds of rows after the test part", {"data": {"target": "real", "test": 0.5}, "cv": {"folds": 31}},
     {("cv.folds", "too_few")}),
    ("folds of groups", {"data": {"target": "real"}, "cv": {"folds": 7, "group": "group"}}, {("cv.folds", "too_few")}),
    ("folds of groups after the test part",
     {"data": {"target": "real", "test": 0.2}, "cv": {"folds": 5, "group": "group"}}, {("cv.folds", "too_few")}),
    ("folds of time", {"data": {"target": "real"}, "cv": {"folds": 60, "time": "day"}}, {("cv.folds", "too_few")}),
    ("one given fold", {"data": {"target": "real"}, "cv": {"column": "constant"}}, {("cv.column", "too_few")}),
    ("gaps in the folds", {"data": {"target": "real"}, "cv": {"column": "gaps"}}, {("cv.column", "missing_values")}),
    ("unknown columns", {"data": {"target": "real", "ignore": ["x", "y"], "test": {"column": "prat"}},
                         "cv": {"folds": 2, "time": "dya"}},
     {("data.ignore.1", "unknown_column"), ("data.test.column", "unknown_column"), ("cv.time", "unknown_column")}),
    ("unknown group", {"data": {"target": "real"}, "cv": {"folds": 2, "group": "grp"}},
     {("cv.group", "unknown_column")}),
    ("unknown folds", {"data": {"target": "real"}, "cv": {"column": "flod"}}, {("cv.column", "unknown_column")}),
    ("the target as a fold", {"data": {"target": "fold"}, "cv": {"column": "fold"}}, {("cv.column", "contradiction")}),
    ("all ignored", {"data": {"target": "x", "ignore": [n for n in COLUMNS if n != "x"]}}, {("data", "no_features")}),
    ("all is test", {"data": {"target": "real", "test": {"column": "part_all"}}},
     {("data.test.column", "no_test_rows")}),
    ("no test", {"data": {"target": "real", "test": {"column": "part_none"}}}, {("data.test.column", "no_test_rows")}),
    ("several at once", {"data": {"target": "gaps", "task": "regression"}, "metric": "rmse", "cv": {"folds": 100}},
     {("data.target", "missing_values"), ("cv.folds", "too_few")}),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "faults"), [m[1:] for m in MISFITS], ids=[m[0] for m in MISFITS])
def test_misfits(table: Data, parts: dict[str, Any], faults: set[tuple[str, str]]) -> None:
    assert table.faults(**parts) == faults


def test_the_nearest_column_is_named(table: Data) -> None:
    with pytest.raises(SpecInvalid, match="did you mean text"):
        table.resolve(data={"target": "txet"})


def test_a_bundled_set_has_its_target(tmp_path: Path) -> None:
    description = ingest("iris", into=tmp_path)
    spec = parse_spec({"name": "t", "data": {"dataset": "iris"}})
    problem = resolve_problem(spec, description, tmp_path / f"{description.fingerprint}.parquet").problem
    assert (problem.target, problem.task, problem.n_rows) == ("target", "classification", 150)


def test_the_child_answers_as_this_process_does(table: Data) -> None:
    spec = spec_of(data={"target": "text", "test": {"column": "part"}}, cv={"folds": 3}, budget={"time": "2h"})
    assert resolve_in_child(spec, table.description, table.file) == resolve_problem(spec, table.description, table.file)
    with pytest.raises(SpecInvalid) as error:
        resolve_in_child(spec_of(data={"target": "gaps"}), table.description, table.file)
    assert [f.code for f in error.value.faults] == ["missing_values"]


_CVS = st.one_of(
    st.builds(lambda k, r: {"folds": k, "repeats": r}, st.integers(2, 12), st.integers(1, 2)),
    st.builds(lambda s, r: {"holdout": s, "repeats": r}, st.floats(0.01, 0.99), st.integers(1, 2)),
    st.builds(lambda k, g: {"folds": k, "group": g}, st.integers(2, 8), st.sampled_from(["group", "fold"])),
    st.builds(lambda s: {"holdout": s, "group": "group"}, st.floats(0.01, 0.99)),
    st.builds(lambda k: {"folds": k, "time": "day"}, st.integers(2, 40)),
    st.builds(lambda s: {"holdout": s, "time": "day"}, st.floats(0.01, 0.99)),
    st.just({"column": "fold"}),
)
_TESTS = st.none() | st.floats(0.01, 0.99) | st.just({"column": "part"})


@given(
    cv=_CVS, test=_TESTS, target=st.sampled_from(["text", "digit", "real", "lonely", "group"]), seed=st.integers(0, 99)
)
def test_the_worker_splits_what_the_master_let_through(
    table: Data, cv: dict[str, Any], test: Any, target: str, seed: int
) -> None:
    """As many folds as the master counted, none of them empty, all classes on both sides of a stratified one."""
    spec = spec_of(data={"target": target, "test": test} if test else {"target": target}, cv=cv, seed=seed)
    try:
        problem = resolve_problem(spec, table.description, table.file).problem
    except SpecInvalid:
        return
    source = FoldSource(read_table(table.file), problem)
    assert source.n_folds == problem.n_folds
    classes = np.array(COLUMNS[target])
    for train, valid in source.splits.folds:
        assert min(len(train), len(valid)) > 0
        if problem.task == "classification" and not {"group", "time", "column"} & set(cv):
            assert set(classes[train]) == set(classes[valid]) == set(classes)


def test_a_copy_of_the_target_is_told_at_once(tmp_path: Path) -> None:
    values = [((i * 37) % 61) * 0.5 + i * 0.001 for i in range(60)]
    copies = {name: [2.0 * value + k for value in values] for k, name in enumerate(("a", "b", "c"))}
    noise = {"x": [float((i * 17) % 23) + i * 0.01 for i in range(60)]}
    for name, told in (("one", "a alone predicts y almost perfectly"), ("three", "Each of a, b, c predicts y")):
        chosen = {"a": copies["a"]} if name == "one" else copies
        (tmp_path / name).mkdir()
        data = Data(tmp_path / name, {"y": values, **noise, **chosen})
        notes = data.resolve(data={"target": "y"}).notes
        assert [note for note in notes if told in note], notes


def test_a_target_cannot_be_ignored(table: Data) -> None:
    assert ("data.types.real", "contradiction") in table.faults(data={"target": "real", "types": {"real": "ignore"}})


def test_what_a_least_count_merges_is_told(tmp_path: Path) -> None:
    text = ["a"] * 40 + [f"b{i // 2}" for i in range(20)]  # ten categories of two rows
    single = ["a"] * 40 + ["b"] * 19 + ["c"]  # one rare category is merged with none
    folds = [float(i % 5) for i in range(N)]
    data = Data(tmp_path, {"y": COLUMNS["real"], "text": text, "single": single, "fold": folds})

    def notes(**parameters: Any) -> list[str]:
        found = data.resolve(data={"target": "y"}, cv={"column": "fold"}, parameters=parameters).notes
        return [note for note in found if "category_min_count" in note]

    assert notes() == notes(category_min_count=0) == notes(category_min_count=1) == []
    assert notes(category_min_count=3) == [
        "With category_min_count 3, 10 of 11 categories of text (in 16 rows) are rare in the training part of the "
        "first fold: those of one column are merged."
    ]
    assert len(notes(category_min_count=[3, 20, 1])) == 2
    (told,) = notes(category_min_count={"low": 1, "high": 20})
    assert "10 of 11 categories of text (in 16 rows) and 2 of 3 categories of single (in 16 rows) are rare" in told


def test_values_that_have_no_effect_on_the_table_are_told(tmp_path: Path) -> None:
    whole, folds = [float(i % 9) for i in range(N)], [float(i % 5) for i in range(N)]
    gaps, text = [None, *whole[1:]], [f"b{i % 6}" for i in range(N)]
    (tmp_path / "plain").mkdir()
    plain = Data(tmp_path / "plain", {"y": COLUMNS["real"], "whole": whole, "fold": folds})
    mixed = Data(tmp_path, {"y": COLUMNS["real"], "gaps": gaps, "text": text, "fold": folds})

    def notes(data: Data, **parameters: Any) -> list[str]:
        found = data.resolve(data={"target": "y"}, cv={"column": "fold"}, parameters=parameters).notes
        return [note for note in found if "no effect on this table" in note]

    assert notes(plain, missing_value=["median", "trained"], max_one_hot=[0, 4], category_min_count=3) == [
        "missing_value trained has no effect on this table: no number of the inputs is missing.",
        "category_min_count 3 has no effect on this table: no column is a category.",
        "max_one_hot 4 has no effect on this table: no column is a category.",
    ]
    assert notes(mixed, missing_value="trained", max_one_hot=[5, 6, 8], category_min_count=3) == [
        "max_one_hot 6, 8 has no effect on this table: the most categories of a column are 6."
    ]
    assert notes(plain, preset="realmlp") == notes(plain, max_one_hot=0, missing_value="median") == []
