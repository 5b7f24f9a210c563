"""Reading files: what becomes numbers, text or nothing, and every way in which a file is refused."""

from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.errors import DatasetUnreadable, Fault
from foldstep.service.data.read import read_file


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_file(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def columns(path: Path) -> dict[str, list[Any]]:
    return {name: listed(column.values) for name, column in read_file(path).columns.items()}


def listed(values: ColumnValues) -> list[Any]:
    """List the values of a column, None for missing."""
    if isinstance(values, CategoryColumn):
        return [None if code < 0 else values.labels[code] for code in values.codes]
    return [None if np.isnan(value) else float(value) for value in values.values]


def fault(path: Path) -> Fault:
    with pytest.raises(DatasetUnreadable) as error:
        read_file(path)
    [only] = error.value.faults
    assert only.path == "data.dataset"
    assert "Traceback" not in error.value.message
    return only


CELLS: dict[str, tuple[list[str], list[Any]]] = {
    "numbers": (["1", " 2.5 ", "1e-4", "+3", "-.5"], [1.0, 2.5, 1e-4, 3.0, -0.5]),
    "infinite numbers": (["inf", "-inf", "1e999"], [float("inf"), float("-inf"), float("inf")]),
    "missing numbers": (["1", "", "NA", "n/a", "NaN", "null", "?", " "], [1.0] + [None] * 7),
    "booleans": (["true", "False", "true", ""], ["true", "False", "true", None]),
    "booleans in several ways": (["true", "False", "TRUE", ""], ["true", "False", "true", None]),
    "text": (["a", " b ", "", "?", "N/A"], ["a", "b", None, None, None]),
    "numbers among text": (["1", "x", "2.50"], ["1", "x", "2.50"]),
    "text after many numbers": (["1"] * 3000 + ["a1"] * 900, ["1"] * 3000 + ["a1"] * 900),
    "nothing at all": (["", "NA", "?"], [None, None, None]),
    "days": (["1970-01-02", "1969-12-31", ""], [86400.0, -86400.0, None]),
    "times": (["1970-01-01 00:00:01.5", "1970-01-01T00:01:00"], [1.5, 60.0]),
    "times with a zone": (["1970-01-01T01:00:00+01:00", "1970-01-01T00:00:02Z"], [0.0, 2.0]),
    "decimal commas": (["1,5", "2,5"], [1.5, 2.5]),
    "a word among numbers": (["1"] * 30 + ["x"], [1.0] * 30 + [None]),
}


@pytest.mark.parametrize(("cells", "expected"), CELLS.values(), ids=CELLS)
def test_what_a_csv_column_becomes(write: Any, cells: list[str], expected: list[Any]) -> None:
    text = "x,other\n" + "".join(f'"{cell}",k\n' for cell in cells)
    assert columns(write(text))["x"] == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters(write: Any, delimiter: str) -> None:
    rows = [["a", "b c", "d"], ["1", "x y", "3"], ["2", "'z'", "4"]]
    text = "\n".join(delimiter.join(row) for row in rows)
    assert columns(write(text)) == {"a": [1.0, 2.0], "b c": ["x y", "'z'"], "d": [3.0, 4.0]}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quotes_line_ends_blank_lines_and_a_byte_order_mark(write: Any, end: str) -> None:
    lines = ["\ufeffa,b", '"one, two",1', "", '"say ""hi""",2', '"two\nlines",3', ""]
    assert columns(write(end.join(lines))) == {"a": ["one, two", 'say "hi"', "two\nlines"], "b": [1.0, 2.0, 3.0]}


def test_a_single_column_and_columns_without_a_name(write: Any) -> None:
    assert columns(write("a\n1\n2\n")) == {"a": [1.0, 2.0]}
    assert columns(write(",a \n0,1\n1,2\n")) == {"column_1": [0.0, 1.0], "a": [1.0, 2.0]}


def test_gzip_is_known_by_its_content(write: Any) -> None:
    assert columns(write(gzip.compress(b"a,b\n1,2\n3,4\n"), "upload.bin")) == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


@pytest.mark.parametrize("encoding", ["utf-16", "windows-1252"])
def test_other_encodings_are_read_and_said(write: Any, encoding: str) -> None:
    path = write("a,b\nä,2\nö,4\n".encode(encoding))
    assert columns(path) == {"a": ["ä", "ö"], "b": [2.0, 4.0]}
    [finding] = [f for f in read_file(path).findings if f.code == "encoding"]
    assert encoding.capitalize() in finding.sentence


def test_many_rows_cross_block_borders(write: Any) -> None:
    cell = "line\n" * 60
    read = columns(write("a,b\n" + "".join(f'{i},"{cell}x"\n' for i in range(60_000))))
    assert set(read["b"]) == {cell + "x"}
    assert read["a"] == list(map(float, range(60_000)))


REFUSED: dict[str, tuple[str | bytes, str, str]] = {
    "empty": ("", "empty_file", "empty"),
    "blank lines": ("\n\n\n", "empty_file", "empty lines"),
    "header only": ("a,b\n", "header_only", "without rows"),
    "one row": ("a,b\n1,2\n", "one_row", "single row"),
    "short row": ("a,b\n1,2\n\n3\n4,5\n", "ragged_row", "1 in line 4"),
    "long row": ("a,b\n1,2\n3,4,5\n4,5\n", "ragged_row", "3 in line 3"),
    "long row after a quoted line end": ('a,b\n"1\n1",2\n3,4,5\n', "ragged_row", "3 in line 4"),
    "two encodings": (b"a,b\n\xc3\xa4,2\n3," + "ä".encode("latin-1"), "mixed_encodings", "line 3"),
    "no encoding": (b"a,b\n1,2\n3,\x81", "not_utf8", "line 3"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "wrong_file_type", "a picture"),
    "zero bytes": (b"a,b\n1,\x00\n2,3\n", "wrong_file_type", "binary"),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00", "wrong_file_type", "Excel"),
    "the same name twice": ("a,b, a\n1,2,3\n4,5,6\n", "duplicate_column", "a"),
    "half a parquet file": (b"PAR1 and then nothing", "unreadable", ""),
    "half a gzip file": (gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:-20], "unreadable", ""),
    "damaged gzip": (gzip.compress(b"a,b\n1,2\n3,4\n")[:12] + b"\xff" * 30, "unreadable", ""),
}


@pytest.mark.parametrize(("content", "code", "got"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(write: Any, content: str | bytes, code: str, got: str) -> None:
    refused = fault(write(content))
    assert refused.code == code
    assert got in (refused.got or "")


def test_a_folder_and_nothing_are_no_files(tmp_path: Path) -> None:
    assert fault(tmp_path).code == "folder"
    assert fault(tmp_path / "missing.csv").code == "unreadable"


def parquet(path: Path, **arrays: Any) -> Path:
    pq.write_table(pa.table(arrays), path)
    return path


def test_parquet_types(tmp_path: Path) -> None:
    day = dt.date(1970, 1, 2)
    path = parquet(
        tmp_path / "t.bin",
        i=pa.array([1, None], pa.int64()),
        u=pa.array([1, 2], pa.uint8()),
        f=pa.array([0.5, float("nan")], pa.float32()),
        b=pa.array([True, None]),
        s=pa.array([" x ", "NA"]),
        digits=pa.array(["1", "2"]),
        large=pa.array(["x", None], pa.large_string()),
        coded=pa.array(["x", "y"]).dictionary_encode(),
        date=pa.array([day, None]),
        time=pa.array([dt.datetime(1970, 1, 1, 0, 0, 1, 500_000), None]),
        zoned=pa.array([dt.datetime(1970, 1, 1, tzinfo=dt.UTC)] * 2),
        money=pa.array([Decimal("1.50"), None]),
        nothing=pa.nulls(2),
        empty=pa.array([None, "?"]),
    )
    assert columns(path) == {
        "i": [1.0, None], "u": [1.0, 2.0], "f": [0.5, None], "b": ["true", None],
        "s": ["x", None], "digits": ["1", "2"],
        "large": ["x", None], "coded": ["x", "y"], "date": [86400.0, None], "time": [1.5, None],
        "zoned": [0.0, 0.0], "money": [1.5, None], "nothing": [None, None], "empty": [None, None],
    }  # fmt: skip


@pytest.mark.parametrize(
    "array",
    [pa.array([[1], [2]]), pa.array([{"a": 1}, {"a": 2}]), pa.array([b"x", b"y"])],
    ids=["list", "struct", "binary"],
)
def test_parquet_columns_that_are_no_column(tmp_path: Path, array: pa.Array) -> None:
    refused = fault(parquet(tmp_path / "t.parquet", ok=pa.array([1, 2]), odd=array))
    assert refused.code == "unsupported_column_type"
    assert "odd" in (refused.got or "")


def test_parquet_without_rows(tmp_path: Path) -> None:
    assert fault(parquet(tmp_path / "t.parquet", a=pa.array([], pa.int64()))).code == "header_only"


@pytest.mark.parametrize(
    ("content", "line"),
    [('"a,b\n1,2\n', "line 1"), ("a,b,y\n" + '1,"open,2\n' + "1,2,3\n" * 40, "line 2")],
)
def test_a_quote_that_is_never_closed_is_told_with_its_line(write: Any, content: str, line: str) -> None:
    refused = fault(write(content))
    assert refused.code == "open_quote"
    assert line in (refused.got or "")
