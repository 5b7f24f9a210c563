"""Columns in their roles: time, target, features; each refusal names the setting that answers."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from foldstep.service.contract.errors import Fault, SpecInvalid
from foldstep.service.contract.features import features_of
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import ResolvedProblem
from foldstep.service.data.resolve import resolve_problem
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import read_table
from tests.service.data.tables import csv_of, describe

N = 60
X = [str(i * 7919 % 101 / 7) for i in range(N)]
Y = [str(i * 31 % 17 / 3) for i in range(N)]
DAYS = [date(2023, 11, 20) + timedelta(days=i * 37 % N) for i in range(N)]


def resolved(folder: Path, columns: dict[str, list[str]], **parts: Any) -> ResolvedProblem:
    data = {"dataset": "t", "target": "y", **parts.pop("data", {})}
    spec = parse_spec({"name": "t", "data": data, **parts})
    description = describe(folder, csv_of(columns), **spec.data.reading.model_dump(mode="json"))
    return resolve_problem(spec, description, folder / "canonical" / f"{description.fingerprint}.parquet")


def faults(folder: Path, columns: dict[str, list[str]], **parts: Any) -> dict[str, Fault]:
    with pytest.raises(SpecInvalid) as error:
        resolved(folder, columns, **parts)
    return {fault.path: fault for fault in error.value.faults}


@pytest.mark.parametrize("spelling", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y-%m-%d", "%d-%b-%Y", "%Y%m%d", "%d.%m.%y"])
def test_folds_never_train_on_what_comes_later(tmp_path: Path, spelling: str) -> None:
    columns = {"d": [f"{day:{spelling}}" for day in DAYS], "x": X, "y": Y}
    problem = resolved(tmp_path, columns, cv={"folds": 4, "time": "d"}).problem
    description = describe(tmp_path, csv_of(columns))
    source = FoldSource(read_table(tmp_path / "canonical" / f"{description.fingerprint}.parquet"), problem)
    assert source.n_folds == 4
    for train, valid in source.splits.folds:
        assert max(DAYS[row] for row in train) < min(DAYS[row] for row in valid)


def test_text_is_no_time(tmp_path: Path) -> None:
    fault = faults(tmp_path, {"d": [f"w{i}" for i in range(N)], "x": X, "y": Y}, cv={"folds": 3, "time": "d"})
    assert fault["cv.time"].code == "no_time"
    assert "data.types: {d: date}" in str(fault["cv.time"].hint)


def test_an_open_order_is_asked_about_and_the_setting_answers(tmp_path: Path) -> None:
    columns = {"d": [f"{i % 12 + 1:02d}/{i // 12 + 1:02d}/2024" for i in range(N)], "x": X, "y": Y}
    fault = faults(tmp_path, columns, cv={"folds": 3, "time": "d"})["cv.time"]
    assert (fault.code, fault.hint) == ("open_dates", "set data.dates: day_first or month_first")
    for order in ("day_first", "month_first"):
        resolved(tmp_path, columns, cv={"folds": 3, "time": "d"}, data={"dates": order})


def test_dates_are_no_target(tmp_path: Path) -> None:
    fault = faults(tmp_path, {"x": X, "y": [day.isoformat() for day in DAYS]})["data.target"]
    assert (fault.code, fault.got) == ("wrong_type", "dates")


def test_a_class_that_is_a_word_for_nothing_says_how_to_keep_it(tmp_path: Path) -> None:
    columns = {"x": X, "y": ["NA", "EU", "AS"] * 20}
    fault = faults(tmp_path, columns)["data.target"]
    assert fault.code == "missing_values"
    assert fault.hint == "20 cells say NA, read as missing; data.not_missing: [NA] keeps it as a class"
    problem = resolved(tmp_path, columns, data={"not_missing": ["NA"]}).problem
    assert problem.n_outputs == 3


def test_a_target_of_numbers_with_words_says_which(tmp_path: Path) -> None:
    fault = faults(tmp_path, {"x": X, "y": ["none", *Y[1:]]})["data.target"]
    assert "'none'" in str(fault.hint)
    assert "data.types: {y: category}" in str(fault.hint)


def test_nothing_usable_is_refused_with_the_reasons(tmp_path: Path) -> None:
    columns = {"one": ["7"] * N, "none": [""] * N, "": list(map(str, range(N))), "y": Y}
    fault = faults(tmp_path, columns)["data"]
    assert fault.code == "no_features"
    for reason in ("one is constant", "none is empty", "column_3 is index"):
        assert reason in str(fault.got)


def test_an_unnamed_index_is_left_out_and_a_named_one_is_not(tmp_path: Path) -> None:
    columns = {"": list(map(str, range(N))), "row": list(map(str, range(N))), "x": X, "y": Y}
    found = resolved(tmp_path, columns)
    assert any("column_1 is left out" in note for note in found.notes)
    assert any("row counts the rows" in note for note in found.notes)
    description = describe(tmp_path, csv_of(columns))
    assert features_of(description, found.problem.data, found.problem.cv) == ["row", "x"]
    said = resolved(tmp_path, columns, data={"types": {"column_1": "number"}}).problem
    assert (found.problem.n_inputs, said.n_inputs) == (2, 3)


@pytest.mark.parametrize("cells", [["9007199254740993", "9007199254740992", "9007199254740994"], ["yes", "no", "maybe"],
                                   ["007", "07", "7"], ["True", "TRUE", "False"]])  # fmt: skip
def test_classes_are_those_that_were_written(tmp_path: Path, cells: list[str]) -> None:
    problem = resolved(tmp_path, {"x": X, "y": cells * 20}).problem
    assert problem.task == "classification"
    assert problem.n_outputs == (2 if "True" in cells else 3)
