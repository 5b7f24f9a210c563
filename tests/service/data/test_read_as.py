"""New files are read as the training data was; what does not fit is missing and told."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.reading import ColumnReading, ReadingOptions, TableReading
from foldstep.service.data.ingest import ingest
from foldstep.service.data.read import read_file
from foldstep.service.data.read_as import TableAs, read_as
from tests.service.data.tables import csv_of, listed, write

TRAINING: dict[str, list[str]] = {
    "size": ["1.234,5", "0,25", "12"], "day": ["13.01.2024", "31.12.2024", "1.2.2024"], "weight": ["5 kg", "6 kg", "7"],
    "zip": ["01234", "90210", "00001"], "flag": ["TRUE", "FALSE", "TRUE"], "clock": ["7:30", "8:00:15", "23:59"],
    "big": ["9007199254740993", "9007199254740992", "1"], "slash": ["13/01/2024", "01/02/2024", "31/12/2024"],
    "word": ["a", "NA", "c"], "sentinel": ["1", "-999", "3"],
}  # fmt: skip


def reading_of(folder: Path, columns: dict[str, list[str]], **options: Any) -> TableReading:
    said = ReadingOptions(**options)
    table = read_file(write(folder, csv_of(columns, ";")), said)
    return TableReading(missing=said.missing_words, columns=tuple(c.reading for c in table.columns.values()))


def new_file(folder: Path, columns: dict[str, list[str]], reading: TableReading, **more: Any) -> TableAs:
    return read_as(write(folder, csv_of(columns, ";"), "new.csv"), reading, **more)


def test_the_same_file_is_read_the_same(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, TRAINING, missing=["-999"])
    trained = read_file(tmp_path / "table.csv", ReadingOptions(missing=["-999"]))
    table = new_file(tmp_path, TRAINING, reading)
    assert {n: listed(c) for n, c in table.columns.items()} == {n: listed(c.values) for n, c in trained.columns.items()}
    assert table.unfit == {}


CELLS: dict[str, tuple[str, list[str], list[Any], int]] = {
    "other decimal signs": ("size", ["1.5", "1.234"], [1.5, 1234.0], 0),
    "text for numbers": ("size", ["-", "x", "1"], [None, None, 1.0], 2),
    "other dates": ("day", ["2024-01-13", "13/02/2024"], [1705104000.0, 1707782400.0], 0),
    "no dates": ("day", ["31.02.2024", "soon"], [None, None], 2),
    "the training's order of dates": ("slash", ["01/02/2024", "01/13/2024"], [1706745600.0, None], 1),
    "another unit": ("weight", ["500 g", "8 KG"], [None, 8.0], 1),
    "codes": ("zip", ["01234", "1234"], ["01234", "1234"], 0),
    "booleans as numbers": ("flag", ["1", "0", "true"], ["TRUE", "FALSE", "TRUE"], 0),
    "identifiers": ("big", ["9007199254740993"], ["9007199254740993"], 0),
    "a number for nothing": ("sentinel", ["-999.0", "2"], [None, 2.0], 0),
    "a word for nothing": ("word", ["na", "b"], [None, "b"], 0),
    "no rows": ("size", [], [], 0),
}


@pytest.mark.parametrize(("name", "cells", "expected", "n_unfit"), CELLS.values(), ids=CELLS)
def test_the_kinds_of_training_are_imposed(
    tmp_path: Path, name: str, cells: list[str], expected: list[Any], n_unfit: int
) -> None:
    reading = reading_of(tmp_path, TRAINING, missing=["-999"])
    table = new_file(tmp_path, {name: cells, "more": ["z"] * len(cells)}, reading)
    assert listed(table.columns[name]) == expected
    assert {n: u.count for n, u in table.unfit.items()} == ({name: n_unfit} if n_unfit else {})
    assert table.missing_columns == [column for column in TRAINING if column != name]
    assert table.n_rows == len(cells)


def test_types_of_parquet_are_brought_to_the_kinds_of_training(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, TRAINING, missing=["-999"])
    arrays = {"size": pa.array(["1,5", "x"]), "day": pa.array([date(1970, 1, 2), None]), "zip": pa.array([1234, 5]),
              "flag": pa.array([True, False]), "big": pa.array([2**53 + 1, 1]),
              "sentinel": pa.array([-999, 4])}  # fmt: skip
    pq.write_table(pa.table(arrays), tmp_path / "new.parquet")
    table = read_as(tmp_path / "new.parquet", reading)
    assert {n: listed(c) for n, c in table.columns.items()} == {
        "size": [1.5, None], "day": [86400.0, None], "zip": ["1234", "5"], "flag": ["TRUE", "FALSE"],
        "big": ["9007199254740993", "1"], "sentinel": [None, 4.0],
    }  # fmt: skip
    assert {n: u.count for n, u in table.unfit.items()} == {"size": 1}


def test_columns_are_carried_along_as_written(tmp_path: Path) -> None:
    reading = reading_of(tmp_path, TRAINING)
    table = new_file(tmp_path, {"id": ["007", "", " x"], "size": ["1", "2", "3"]}, reading, keep=["id"])
    assert table.kept == {"id": ["007", None, " x"]}


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='"'), max_size=6)
_COLUMNS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(st.dates(date(1600, 1, 1), date(2399, 12, 31)), min_size=4, max_size=4),
    st.lists(st.datetimes(datetime(1600, 1, 1), datetime(2399, 12, 31)), min_size=4, max_size=4),
    st.lists(_TEXT.map(lambda text: f"t{text}"), min_size=4, max_size=4),
)


def cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    return str(value).lower() if isinstance(value, bool) else str(value)


@given(column=_COLUMNS)
def test_csv_and_parquet_of_the_same_data_are_the_same_and_read_again_the_same(
    tmp_path_factory: pytest.TempPathFactory, column: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("same")
    other = ["k1", "k2", "k1", "k2"]
    pq.write_table(pa.table({"x": pa.array(column), "k": pa.array(other)}), folder / "t.parquet")
    path = write(folder, csv_of({"x": list(map(cell, column)), "k": other}))
    from_csv, from_parquet = (ingest(file, into=folder / "c") for file in (path, folder / "t.parquet"))
    assert from_csv.fingerprint == from_parquet.fingerprint
    readings = tuple(c.reading for c in from_csv.columns if c.reading is not None)
    again = read_as(path, TableReading(missing=ReadingOptions().missing_words, columns=readings))
    assert {n: listed(c) for n, c in again.columns.items()} == {
        n: listed(c.values) for n, c in read_file(path).columns.items()
    }


def test_times_of_nanoseconds_are_those_of_microseconds(tmp_path: Path) -> None:
    """Else the canonical file had another fingerprint than the data that it was written from."""
    times = [datetime(2024, 1, 1) + timedelta(microseconds=123457 * i) for i in range(99)]
    prints = set()
    for unit in ("us", "ns"):
        path = tmp_path / f"{unit}.parquet"
        pq.write_table(pa.table({"t": pa.array(times, pa.timestamp(unit)), "k": pa.array(np.arange(99.0))}), path)
        prints.add(ingest(path, into=tmp_path / "c").fingerprint)
    [fingerprint] = prints
    assert ingest(tmp_path / "c" / f"{fingerprint}.parquet", into=tmp_path / "c").fingerprint == fingerprint


def test_infinite_cells_count_as_missing_and_are_told(tmp_path: Path) -> None:
    csv, parquet = tmp_path / "new.csv", tmp_path / "new.parquet"
    csv.write_text("a\n1\n1e400\n-inf\n2.5\n")
    pq.write_table(pa.table({"a": [1.0, float("inf"), -float("inf"), 2.5]}), parquet)
    reading = TableReading(missing=("",), columns=(ColumnReading(name="a", kind="number"),))
    for path in (csv, parquet):
        table = read_as(path, reading)
        assert table.unfit["a"].count == 2
        values = table.columns["a"]
        assert isinstance(values, NumberColumn)
        np.testing.assert_array_equal(values.values, [1.0, np.nan, np.nan, 2.5])
