"""What a user says about a file overrules what is found, and what cannot be is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.reading import ReadingOptions
from foldstep.service.data.ingest import ingest
from foldstep.service.data.read import read_file
from tests.service.data.tables import codes, csv_of, describe, listed, read_cells, refused

OVERRULED: dict[str, tuple[list[str], dict[str, Any], str, list[Any]]] = {
    "numbers as text": (["1", "2.0"], {"types": {"x": "category"}}, "category", ["1", "2.0"]),
    "codes as numbers": (["01", "02"], {"types": {"x": "number"}}, "number", [1.0, 2.0]),
    "powers as numbers": (["1E1", "2E3"], {"types": {"x": "number"}}, "number", [10.0, 2000.0]),
    "huge as numbers": (["9007199254740993"] * 2, {"types": {"x": "number"}}, "number", [2.0**53, 2.0**53]),
    "half numbers as numbers": (["1", "a", "b"], {"types": {"x": "number"}}, "number", [1.0, None, None]),
    "dates without marks as numbers": (["20240131", "20240201", "20240202"], {"types": {"x": "number"}}, "number",
                                       [20240131.0, 20240201.0, 20240202.0]),
    "dates as text": (["2024-01-31", "2024-02-01"], {"types": {"x": "category"}}, "category",
                      ["2024-01-31", "2024-02-01"]),
    "few dates as dates": (["2024-01-31", "a", "b"], {"types": {"x": "date"}}, "date", [1706659200.0, None, None]),
    "a clock as text": (["7:30", "8:30"], {"types": {"x": "category"}}, "category", ["7:30", "8:30"]),
    "true and false as text": (["TRUE", "true"], {"types": {"x": "category"}}, "category", ["TRUE", "true"]),
    "a word for nothing": (["a", "b", "leer"], {"missing": ["leer"]}, "category", ["a", "b", None]),
    "a word for nothing in any case": (["1", "2", "Leer"], {"missing": ["LEER"]}, "number", [1.0, 2.0, None]),
    "a number for nothing": (["1", "-999", "-999.00"], {"missing": ["-999"]}, "number", [1.0, None, None]),
    "a number for nothing, not in quotes": (["1", "-999"], {"missing": [-999]}, "number", [1.0, None]),
    "a word kept": (["NA", "DE"], {"not_missing": ["na"]}, "category", ["NA", "DE"]),
    "a comma": (["1,680", "2,500"], {"decimal": ","}, "number", [1.68, 2.5]),
    "a point": (["1,680", "2,500"], {"decimal": "."}, "number", [1680.0, 2500.0]),
    "a comma where points group": (["1.680", "2.500"], {"decimal": ","}, "number", [1680.0, 2500.0]),
    "month first": (["01/02/2024", "03/04/2024"], {"dates": "month_first"}, "date", [1704153600.0, 1709510400.0]),
    "day first": (["01/02/2024", "03/04/2024"], {"dates": "day_first"}, "date", [1706745600.0, 1712102400.0]),
    "year first": (["20-01-02", "21-01-02"], {"dates": "year_first"}, "date", [1577923200.0, 1609545600.0]),
}  # fmt: skip


@pytest.mark.parametrize(("cells", "options", "kind", "expected"), OVERRULED.values(), ids=OVERRULED)
def test_what_is_said_overrules_what_is_found(
    tmp_path: Path, cells: list[str], options: dict[str, Any], kind: str, expected: list[Any]
) -> None:
    found, _ = read_cells(tmp_path, cells)
    said, _ = read_cells(tmp_path, cells, **options)
    assert (said.reading.kind, listed(said.values)) == (kind, expected)
    assert (found.reading.kind, listed(found.values)) != (kind, expected) or options.get("dates") == "day_first" \
        or options.get("decimal") == "."  # fmt: skip


def test_what_is_said_leaves_nothing_open(tmp_path: Path) -> None:
    for options in ({"dates": "day_first"}, {"dates": "month_first"}):
        column, findings = read_cells(tmp_path, ["01/02/2024", "03/04/2024"], **options)
        assert not column.is_open
        assert "open_dates" not in findings


@pytest.mark.parametrize(
    ("types", "code", "shown"),
    [
        ({"y": "number"}, "unknown_column", "y"),
        ({"Weight": "number"}, "unknown_column", "did you mean weight?"),
        ({"x": "number"}, "type_mismatch", "'a', 'b'"),
        ({"x": "date"}, "type_mismatch", "'a', 'b'"),
    ],
)
def test_types_that_cannot_be_are_refused(tmp_path: Path, types: dict[str, Any], code: str, shown: str) -> None:
    fault = refused(tmp_path, csv_of({"x": ["a", "b"], "weight": ["1", "2"]}), types=types)
    assert fault.code == code
    assert shown in f"{fault.got} {fault.hint}"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"types": {"x": "float"}}, "data.types.x"),
        ({"decimal": ";"}, "data.decimal"),
        ({"dates": "DMY"}, "data.dates"),
        ({"missing": [None]}, "data.missing.0"),
        ({"missing": [True]}, "data.missing.0"),
        ({"not_missing": "NA"}, "data.not_missing"),
        ({"encoding": 8}, "data.encoding"),
    ],
)
def test_settings_that_are_none_are_refused(data: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as error:
        parse_spec({"name": "t", "data": {"dataset": "t.csv", "target": "y", **data}})
    assert [fault.path for fault in error.value.faults] == [path]


def test_ignored_columns_are_left_out_and_may_hold_anything(tmp_path: Path) -> None:
    description = describe(tmp_path, csv_of({"x": ["1", "2"], "y": ["a", "b"]}), types={"x": "ignore"})
    assert [(c.name, c.fate) for c in description.columns] == [("x", "ignored"), ("y", "category")]
    table = pa.table({"odd": pa.array([[1], [2]]), "x": pa.array([1, 2]), "y": pa.array(["a", "b"])})
    pq.write_table(table, tmp_path / "t.parquet")
    options = ReadingOptions(types={"odd": "ignore"})
    assert ingest(tmp_path / "t.parquet", into=tmp_path, options=options).columns[0].fate == "ignored"


def test_words_for_nothing_hold_for_the_numbers_of_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([1, -999, 3]), "y": pa.array(["a", "b", "c"])}), tmp_path / "t.parquet")
    table = read_file(tmp_path / "t.parquet", ReadingOptions(missing=["-999"]))
    assert listed(table.columns["x"].values) == [1.0, None, 3.0]


def test_booleans_stay_as_they_were_written(tmp_path: Path) -> None:
    column, findings = read_cells(tmp_path, ["TRUE", "FALSE", "true", "False"])
    assert listed(column.values) == ["TRUE", "FALSE", "TRUE", "FALSE"]
    assert "TRUE, FALSE, true, False" in findings["spellings"].sentence


def test_a_word_that_is_read_as_missing_is_counted_with_the_way_to_keep_it(tmp_path: Path) -> None:
    _, findings = read_cells(tmp_path, ["NA", "DE", "NA", "FR"])
    assert findings["missing_words"].sentence == "x: 2 cells say NA, read as missing."
    assert findings["missing_words"].setting == "data.not_missing: [NA]"


def test_settings_are_written_as_yaml_reads_them(tmp_path: Path) -> None:
    description = describe(tmp_path, csv_of({"Unnamed: 0": ["0", "1"], "x": ["a", "b"]}))
    [finding] = [f for f in description.findings if f.code == "index"]
    assert finding.setting == 'data.types: {"Unnamed: 0": number}'
    assert codes(describe(tmp_path, csv_of({"Unnamed: 0": ["0", "1"], "x": ["a", "b"]}),
                          types={"Unnamed: 0": "number"})) == set()  # fmt: skip
