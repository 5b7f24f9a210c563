"""Predictions by REST: those of `foldstep predict` for the same rows, with the same notes; what is refused, and how."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import psutil
import pytest

from foldstep.answering.predict import MOST_KEPT, loaded
from foldstep.service.contract.errors import InvalidInput, NotFound, TooLarge
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.prediction import ChosenFiles, CommitteeFiles, Predicted
from tests.acceptance.processes import Processes
from tests.foldstep.conftest import Desk
from tests.foldstep.predicting import predict
from tests.foldstep.test_ensemble import search_of, table

OPTIONS: dict[str, list[dict[str, Any]]] = {
    "classes": [{}, {"proba": True}, {"proba": True, "weighted": True}, {"trial": 0}],
    "values": [{}, {"interval": 0.8}, {"ids": ["city"]}],
    "counts": [{}],
    "quantiles": [{}],
    "labels": [{}, {"proba": True}],
    "targets": [{}],
}


def words(options: dict[str, Any]) -> list[str]:
    """The options of the command that are these of the client."""
    said = []
    for name, value in options.items():
        said += [f"--{name}"] if value is True else []
        said += [f"--{name}", str(value)] if name in ("interval", "trial") else []
        said += [part for one in value for part in ("--id", one)] if name == "ids" else []
    return said


def cells(found: Predicted) -> list[list[str]]:
    """The answer as the command prints it."""
    text = io.StringIO()
    csv.writer(text).writerows([list(found.columns), *zip(*found.columns.values(), strict=True)])
    return list(csv.reader(io.StringIO(text.getvalue())))


def odd_table() -> str:
    """Rows with cells that do not fit, a category that is new, and values that are missing."""
    head, first, second, third, *rest = table().splitlines()[:40]
    first = "much," + first.partition(",")[2]
    parts = second.split(",")
    second = ",".join([parts[0], "", "Köln", *parts[3:]])
    third = "".join(["", third[third.index(",") :]])
    return "\n".join([head, first, second, third, *rest]) + "\n"


def as_rows(content: str) -> list[dict[str, Any]]:
    return [{k: v or None for k, v in row.items()} for row in csv.DictReader(io.StringIO(content))]


@pytest.fixture(scope="module")
def searches(busy_desk: Desk) -> dict[str, SearchView]:
    return {case: search_of(busy_desk, case) for case in OPTIONS}


@pytest.mark.parametrize("case", OPTIONS)
def test_they_are_those_of_the_command_for_every_form_of_rows(
    busy_desk: Desk, searches: dict[str, SearchView], case: str
) -> None:
    content, search = odd_table(), searches[case]
    for options in OPTIONS[case]:
        expected, done = predict(search.id, content, busy_desk.folder, "--dir", "data", *words(options))
        path = busy_desk.folder / "new.csv"
        for rows in (path, as_rows(content)):
            found = busy_desk.master.predict(search.id, rows, **options)
            assert cells(found) == expected
            chosen, *notes = done.stderr.splitlines()
            assert notes == found.notes
            assert notes  # the odd cells are told
            assert found.chosen.lower() in chosen.lower().replace("predicted with ", "")
            assert found.n_rows == len(expected) - 1


def test_a_table_in_memory_keeps_its_types(busy_desk: Desk, searches: dict[str, SearchView]) -> None:
    search, content = searches["classes"], table()
    expected = busy_desk.master.predict(search.id, as_rows(content), proba=True).columns
    frame = pd.read_csv(io.StringIO(content))
    tables = [frame, pl.from_pandas(frame), {name: frame[name].tolist() for name in ("x", "z", "city")}]
    for rows in [*tables, frame.to_dict("records")]:
        assert busy_desk.master.predict(search.id, rows, proba=True).columns == expected
    numbers = [{"x": np.float64(0.5), "z": np.int64(1), "city": None}]
    assert busy_desk.master.predict(search.id, numbers).n_rows == 1


def test_a_row_that_names_fewer_columns_lacks_their_values(busy_desk: Desk, searches: dict[str, SearchView]) -> None:
    search = searches["values"]
    whole = [{"x": 0.5, "z": 0.1, "city": "Ulm"}, {"x": None, "z": 0.1, "city": "Ulm"}]
    expected = busy_desk.master.predict(search.id, whole)
    found = busy_desk.master.predict(search.id, [whole[0], {"z": 0.1, "city": "Ulm", "more": True}])
    assert found.columns == expected.columns
    assert found.notes == ["Some rows do not name all columns, which count as missing there: x (1 row)."]
    assert expected.notes == []
    empty = busy_desk.master.predict(search.id, [])
    assert empty.columns == {"much": []}
    assert "no rows" in " ".join(empty.notes)


def chosen(desk: Desk, search: SearchView, *trials: int) -> ChosenFiles:
    folder = Path(search.checkpoint_dir)
    committees = [
        CommitteeFiles(
            trial=trial, weight=1.0, checkpoints=[folder / n for n in desk.master.trial(search.id, trial).checkpoints]
        )
        for trial in trials
    ]
    return ChosenFiles(search=search.id, words="", committees=committees)


def test_the_networks_of_the_last_requests_stay_in_memory(busy_desk: Desk, searches: dict[str, SearchView]) -> None:
    search = searches["values"]
    first = loaded(chosen(busy_desk, search, 0, 1))
    assert loaded(chosen(busy_desk, search, 0, 1)) is first
    assert loaded(chosen(busy_desk, search, 0)) is not first  # as where the ensemble of a search has changed
    for trial in range(1, MOST_KEPT):
        assert loaded(chosen(busy_desk, search, trial)).committees[0].trial == trial
    assert loaded(chosen(busy_desk, search, 0, 1)) is not first


def test_one_process_answers_all_requests(busy_desk: Desk, searches: dict[str, SearchView]) -> None:
    rows = as_rows(table())[:3]
    busy_desk.master.predict(searches["values"].id, rows)
    (before,) = children(busy_desk)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(busy_desk.master.predict, search.id, rows) for search in searches.values()]
        assert [one.result().n_rows for one in asked] == [3] * len(searches)
    assert children(busy_desk) == [before]


def children(desk: Desk) -> list[int]:
    """The processes in which the desk's master predicts."""
    master = psutil.Process(desk.processes._running[0].pid)
    return [p.pid for p in master.children() if "foldstep.answering" in p.cmdline()]


def test_a_file_of_the_same_name_is_loaded_anew(busy_desk: Desk, searches: dict[str, SearchView]) -> None:
    search, rows = searches["values"], as_rows(table())[:3]
    trial = busy_desk.master.ensemble(search.id).members[0].trial  # type: ignore[union-attr]
    file = Path(search.checkpoint_dir) / busy_desk.master.trial(search.id, trial).checkpoints[0]
    assert busy_desk.master.predict(search.id, rows, trial=trial).n_rows == 3
    content = file.read_bytes()
    try:
        file.write_bytes(content[:100])
        with pytest.raises(InvalidInput, match="cannot be used as a checkpoint"):
            busy_desk.master.predict(search.id, rows, trial=trial)
    finally:
        file.write_bytes(content)
    assert busy_desk.master.predict(search.id, rows, trial=trial).n_rows == 3


# -- what is refused --------------------------------------------------------------------------------------------------

REFUSED: list[tuple[bytes, str, str]] = [
    (b'{"rows": [{"x": 1', "application/json", "not_readable"),
    (b"[1]", "application/json", "not_rows"),
    (b'{"row": []}', "application/json", "not_rows"),
    (b'{"rows": [1]}', "application/json", "not_rows"),
    (b'{"rows": [{"x": [1]}]}', "application/json", "not_a_cell"),
    (b'{"rows": [{"x": NaN}]}', "application/json", "not_readable"),
    (b'{"rows": [{"x": 1}]}', "application/json", "missing_column"),
    (b"x,z\n1,2\n", "text/csv", "missing_column"),
    (b"x,z,city\n1,2,Ulm\n", "application/xml", "unsupported_content"),
    (b"", "text/csv", "empty_file"),
    (b"\x00\x01", "application/vnd.apache.parquet", ""),
]


@pytest.mark.parametrize(("content", "kind", "code"), REFUSED)
def test_what_is_no_table_is_refused(
    busy_desk: Desk, searches: dict[str, SearchView], content: bytes, kind: str, code: str
) -> None:
    connection = busy_desk.master.connection
    path = f"/searches/{searches['values'].id}/predict"
    with pytest.raises(InvalidInput) as refusal:
        connection.request("POST", path, content=content, headers={"Content-Type": kind})
    assert code in [fault.code for fault in refusal.value.faults] + [""]
    assert "Traceback" not in refusal.value.message


def test_what_the_networks_cannot_say_is_refused(busy_desk: Desk, searches: dict[str, SearchView]) -> None:
    rows = as_rows(table())[:2]
    with pytest.raises(InvalidInput, match="no classes: leave out proba"):
        busy_desk.master.predict(searches["values"].id, rows, proba=True)
    with pytest.raises(InvalidInput, match="no interval"):
        busy_desk.master.predict(searches["classes"].id, rows, interval=0.9)
    with pytest.raises(InvalidInput, match=r"missing_column|carry through"):
        busy_desk.master.predict(searches["values"].id, rows, ids=["nr"])
    with pytest.raises(NotFound):
        busy_desk.master.predict(searches["values"].id, rows, trial=77)
    with pytest.raises(InvalidInput, match="no file"):
        busy_desk.master.predict(searches["values"].id, busy_desk.folder / "nowhere.csv")
    with pytest.raises(InvalidInput, match="cannot be used"):
        busy_desk.master.predict(searches["values"].id, 7)


def test_a_search_without_a_score_cannot_predict(desk: Desk) -> None:
    desk.write("table.csv", table())
    spec = {
        "name": "new", "data": {"dataset": "table.csv", "target": "much"}, "method": "random",
        "parameters": {"lr": [0.1]}, "budget": {"trials": 1},
    }  # fmt: skip
    search = desk.master.submit(spec)
    desk.master.stop(search.id)
    if desk.master.search(search.id).best is None:
        with pytest.raises(InvalidInput, match="no scored trial yet"):
            desk.master.predict(search.id, [])


def test_more_than_the_master_takes_is_refused(tmp_path: Path) -> None:
    limits = {"FOLDSTEP_MAX_PREDICT_ROWS": "2", "FOLDSTEP_MAX_PREDICT_BYTES": "300"}
    with Processes(tmp_path) as processes:
        _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(tmp_path), **limits)
        desk = Desk(tmp_path, processes, master)
        processes.worker(master)
        search = search_of(desk, "holdout", budget={"trials": 1})
        rows = [{"x": 1.0, "z": 1.0, "city": "Ulm"}] * 2
        assert master.predict(search.id, rows).n_rows == 2
        with pytest.raises(TooLarge, match="FOLDSTEP_MAX_PREDICT_ROWS") as refusal:
            master.predict(search.id, rows + rows[:1])
        assert [fault.code for fault in refusal.value.faults] == ["too_many_rows"]
        (tmp_path / "three.csv").write_text("x,z,city\n" + "1,1,Ulm\n" * 3)
        with pytest.raises(TooLarge, match="expected at most 2 rows, got 3"):
            master.predict(search.id, tmp_path / "three.csv")
        with pytest.raises(TooLarge, match="FOLDSTEP_MAX_PREDICT_BYTES"):
            master.predict(search.id, rows * 5)
