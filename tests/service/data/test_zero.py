"""A spec without parameters gets all of them from its table, and every choice is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldstep.service.contract.defaults import default_parameters, with_parameters
from foldstep.service.contract.document import dump_document, load_document
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.first_point import first_point
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import ResolvedProblem
from foldstep.service.contract.spec import BudgetSpec, CvSpec
from foldstep.service.contract.written import written
from foldstep.service.data.child import resolve_in_child
from tests.service.data.test_resolve import Data

N = 60
RANDOM = np.random.default_rng(0)
COLUMNS: dict[str, list[Any]] = {
    "size": RANDOM.normal(size=N).tolist(),
    "word": ["ab"[i % 2] for i in range(N)],
    "real": RANDOM.normal(size=N).tolist(),
    "even": ["yes" if i % 2 else "no" for i in range(N)],
    "rare": ["yes" if i % 15 == 0 else "no" for i in range(N)],
    "lonely": ["one" if i == 0 else "pq"[i % 2] for i in range(N)],
    "counts": [float(n) for n in RANDOM.poisson(RANDOM.gamma(0.5, 20, size=N))],
    "prices": [float(n) for n in 1000 + RANDOM.poisson(RANDOM.gamma(0.5, 20, size=N))],
    "tall": RANDOM.integers(0, 200, size=N).astype(float).tolist(),
    "below": [float(n - 30) for n in range(N)],
    "part": ["test" if i < 12 else "train" for i in range(N)],
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("zero"), COLUMNS)


def resolved(table: Data, target: Any, **parts: Any) -> ResolvedProblem:
    data = {"dataset": "t.parquet", "target": target, **parts.pop("data", {})}
    return resolve_in_child(parse_spec({"name": "t", "data": data, **parts}), table.description, table.file)


def said(found: ResolvedProblem, what: str) -> str:
    (note,) = [note for note in found.notes if note.startswith(f"No {what} ")]
    return note


def test_everything_is_filled_in_stored_and_said(table: Data) -> None:
    found = resolved(table, "even")
    spec = found.spec
    assert spec.left_out == []
    plain = parse_spec({"name": "t", "data": {"dataset": "d"}})
    assert spec.space == with_parameters(plain, default_parameters(N), "classification").space
    assert (spec.cv, spec.budget) == (CvSpec(folds=5, repeats=2), BudgetSpec(time=120))
    assert found.problem.metric.name == "log_loss"
    assert found.problem.cv == spec.cv
    assert found.problem.n_folds == 10
    assert "for 60 rows is searched: preset realmlp_space" in said(found, "parameters")
    assert "--print-spec" in said(found, "parameters")
    assert "5 folds, drawn 2 times, for 60 rows, as there are fewer than 200" in said(found, "cv")
    assert "log_loss" in said(found, "metric")
    assert "2 minutes" in said(found, "budget")


def test_what_is_given_stays(table: Data) -> None:
    given = {"metric": "accuracy", "cv": {"folds": 3}, "budget": {"trials": 4}}
    found = resolved(table, "even", **given)
    assert found.problem.metric.name == "accuracy"
    assert (found.spec.cv, found.spec.budget) == (CvSpec(folds=3), BudgetSpec(trials=4))
    assert [note.split()[1] for note in found.notes if note.startswith("No ")] == ["parameters"]


@pytest.mark.parametrize("parameters", [{}, {"lr": 0.1}, {"preset": "plain"}])
def test_a_spec_with_parameters_keeps_the_defaults_that_it_had(table: Data, parameters: dict[str, Any]) -> None:
    found = resolved(table, "even", parameters=parameters)
    assert (found.problem.metric.name, found.spec.cv, found.spec.budget) == ("accuracy", CvSpec(folds=5), BudgetSpec())
    assert "The metric is accuracy, the default of classification." in found.notes
    assert not [note for note in found.notes if note.startswith("No ")]


def test_rows_of_the_test_part_do_not_count(table: Data) -> None:
    found = resolved(table, "even", data={"test": {"column": "part"}})
    assert "for 48 rows" in said(found, "parameters")
    assert "for 48 rows" in said(found, "cv")


@pytest.mark.parametrize(
    ("target", "metric"),
    [("real", "rmse"), ("counts", "poisson_deviance"), ("prices", "rmse"), ("tall", "rmse"), ("below", "rmse")],
)
def test_counts_are_scored_as_counts(table: Data, target: str, metric: str) -> None:
    found = resolved(table, target)
    assert found.problem.metric.name == metric
    assert ("loss" in found.spec.space.parameters) == (metric == "poisson_deviance")


def test_unequal_classes_are_said_with_their_share(table: Data) -> None:
    assert "93.3 % of the rows; `metric: roc_auc`" in said(resolved(table, "rare"), "metric")
    assert "%" not in said(resolved(table, "even"), "metric")


def test_rare_classes_have_fewer_folds_or_are_not_kept_in_proportion(table: Data) -> None:
    few = resolved(table, "rare")
    assert few.spec.cv == CvSpec(folds=4, repeats=2)
    assert "4 folds, drawn 2 times" in said(few, "cv")
    assert "not 5, as the rarest class has 4 rows" in said(few, "cv")
    single = resolved(table, "lonely")
    assert single.spec.cv == CvSpec(folds=5, repeats=2, stratify=False)
    assert "do not keep the classes in proportion, as the rarest has a single row" in said(single, "cv")


def test_several_targets_have_the_default_of_their_task(table: Data) -> None:
    assert resolved(table, ["real", "counts"]).problem.metric.name == "r2"
    found = resolved(table, ["even", "rare"])
    assert (found.problem.task, found.problem.metric.name) == ("multilabel", "log_loss")
    assert found.spec.preset is not None


def test_a_table_without_numbers_has_no_embeddings_of_numbers(tmp_path: Path) -> None:
    words = Data(tmp_path, {name: COLUMNS[name] for name in ("word", "part", "even")})
    found = resolved(words, "even")
    assert found.spec.space.from_unit({})["number_embedding"] == "none"
    assert "no embedding, as no feature is numeric" in said(found, "parameters")


def test_stages_set_the_epochs(table: Data) -> None:
    found = resolved(table, "even", method="coarse_to_fine")
    assert [stage.epochs for stage in found.spec.planned_stages()] == [1, 5, 512]


def refused(table: Data, target: str, **parts: Any) -> set[tuple[str, str]]:
    with pytest.raises(SpecInvalid) as error:
        resolved(table, target, **parts)
    return {(fault.path, fault.code) for fault in error.value.faults}


def test_what_does_not_go_with_the_default_space_is_one_fault(table: Data) -> None:
    assert refused(table, "even", method="grid") == {("parameters", "missing")}
    assert refused(table, "below", metric="poisson_deviance") == {("metric.name", "negative_target")}
    assert refused(table, "even", data={"task": "regression"}) == {("data.task", "contradiction")}
    assert ("data.target", "unknown_column") in refused(table, "evn")


@pytest.mark.parametrize("target", ["real", "even", "counts"])
def test_the_written_spec_resolves_to_the_same_search(table: Data, target: str) -> None:
    found = resolved(table, target)
    text = dump_document(written(found.spec))
    again = resolve_in_child(parse_spec(load_document(text).value), table.description, table.file)
    assert again.problem == found.problem
    assert list(again.spec.space.parameters.items()) == list(found.spec.space.parameters.items())
    task = found.problem.task
    assert first_point(again.spec, task) == first_point(found.spec, task) is not None
    assert not [note for note in again.notes if note.startswith("No ") or "has no effect" in note]
