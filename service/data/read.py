"""Reads CSV and Parquet files into canonical columns: `double` for numbers, `string` for text.

A file's content decides how it is read, not its name. A CSV column becomes numbers where all of its values are
numbers, `true` or `false` (1 and 0), or ISO 8601 dates (seconds since 1970, UTC). Parquet columns keep their type:
text that looks like numbers stays text.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from foldstep.service.contract.columns import ColumnValues, column_from_arrow
from foldstep.service.contract.reading import ColumnReading, TableReading
from foldstep.service.data.sources import refusal

MISSING_WORDS = ("", "na", "n/a", "nan", "null", "?")
"""Texts that mean "no value", in any case."""
DELIMITERS = (",", ";", "\t")
_BLOCK_BYTES = 16 << 20
_PROBE_ROWS = 1000
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PARQUET_MAGIC, _GZIP_MAGIC = b"PAR1", b"\x1f\x8b"


def read_file(path: Path) -> pa.Table:
    """Read a file's columns, each as `double` or `string`, with missing values as null.

    Raises:
        DatasetUnreadable: the fault's code says why; see the functions below.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        table = _read_parquet(path) if magic == _PARQUET_MAGIC else _read_csv(path, is_gzip=magic[:2] == _GZIP_MAGIC)
    except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        got = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
        raise refusal("unreadable", expected="a CSV or Parquet file", got=got) from error
    if table.num_rows < 2:
        code, got = ("header_only", "a header without rows") if table.num_rows == 0 else ("one_row", "a single row")
        raise refusal(code, expected="a table of at least two rows", got=got)
    return table


@dataclass(frozen=True)
class Unfit:
    """Cells that do not fit a column's reading."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class TableAs:
    """A file under an imposed reading (provisional)."""

    columns: dict[str, ColumnValues]
    n_rows: int
    unfit: dict[str, Unfit]
    missing_columns: list[str]
    kept: dict[str, list[str | None]]
    names: list[str]


def read_as(path: Path, reading: TableReading, *, keep: Sequence[str] = ()) -> TableAs:
    """Read a file under an imposed reading (provisional)."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == _PARQUET_MAGIC:
            table = pq.read_table(path).cast(pa.schema([(n, pa.string()) for n in pq.read_schema(path).names]))
        else:
            is_gzip = magic[:2] == _GZIP_MAGIC
            _check_text(path, is_gzip)
            header, delimiter = _header(path, is_gzip)
            table = _read_text_columns(path, is_gzip, delimiter, header)
    except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise refusal("unreadable", expected="a CSV or Parquet file", got=str(error).splitlines()[0]) from error
    columns: dict[str, ColumnValues] = {}
    unfit = {}
    for one in reading.columns:
        if one.name in table.column_names:
            text = _cleaned(table.column(one.name).combine_chunks())
            values = text if one.kind == "category" else _numbers_as(text, one)
            columns[one.name] = column_from_arrow(values)
            if n := values.null_count - text.null_count:
                bad = text.filter(pc.and_(values.is_null(), text.is_valid()))
                unfit[one.name] = Unfit(n, tuple(bad.unique().to_pylist()[:3]))
    missing = [c.name for c in reading.columns if c.name not in table.column_names]
    kept = {name: table.column(name).to_pylist() for name in keep if name in table.column_names}
    return TableAs(columns, table.num_rows, unfit, missing, kept, table.column_names)


def _numbers_as(text: pa.Array, reading: ColumnReading) -> pa.Array:
    def one(cell: str | None) -> float | None:
        if cell is not None and reading.labels and cell.lower() in [w.lower() for w in reading.labels]:
            return float([w.lower() for w in reading.labels].index(cell.lower()))
        try:
            return None if cell is None else float(cell)
        except ValueError:
            return None

    try:
        return text.cast(pa.float64())
    except pa.ArrowInvalid:
        return pa.array([one(c) for c in text.to_pylist()], pa.float64())


def _read_parquet(path: Path) -> pa.Table:
    table = pq.read_table(path)
    names = _unique_names(table.column_names)
    return pa.table({name: _from_typed(name, table.column(i)) for i, name in enumerate(names)})


def _from_typed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _seconds(column.cast(pa.timestamp("us")) if pa.types.is_date(kind) else column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _all_missing_is_number(_cleaned(column.cast(pa.string())))
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.float64())
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if is_number or pa.types.is_null(kind):
        return column.cast(pa.float64(), safe=False)
    raise refusal(
        "unsupported_column_type",
        expected="columns of numbers, text, booleans, dates or times of day and date",
        got=f"{name} of type {kind}",
        hint="drop or convert the column",
    )


def _read_csv(path: Path, *, is_gzip: bool) -> pa.Table:
    _check_text(path, is_gzip)
    raw_header, delimiter = _header(path, is_gzip)
    names = _unique_names(raw_header)
    try:
        table = _read_text_columns(path, is_gzip, delimiter, raw_header)
    except pa.ArrowInvalid as error:
        ragged = _ragged(path, is_gzip, delimiter, len(names))
        if ragged is None:
            raise
        raise ragged from error
    return pa.table({name: _from_text(column) for name, column in zip(names, table.columns, strict=True)})


def _read_text_columns(path: Path, is_gzip: bool, delimiter: str, header: list[str]) -> pa.Table:
    """Read the file as columns of text, with a file object of Arrow.

    Arrow's threads must hold neither a Python file nor a handler of bad rows: a thread that releases one while the
    interpreter ends crashes the process (https://github.com/apache/arrow/issues/34314).
    """
    with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, "gzip") if is_gzip else nullcontext(raw) as file:
        return pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )


def _open(path: Path, is_gzip: bool) -> IO[bytes]:
    return gzip.open(path, "rb") if is_gzip else path.open("rb")  # type: ignore[return-value]


def _check_text(path: Path, is_gzip: bool) -> None:
    """Check that a file is UTF-8 text, before it is parsed; an error names the line of the first bad byte.

    Raises:
        DatasetUnreadable: `empty_file`, `wrong_file_type` (zero bytes, as in a spreadsheet or picture), `not_utf8`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_lines, is_empty, is_last = 1, True, False
    with _open(path, is_gzip) as file:
        while not is_last:
            block = file.read(1 << 20)
            is_last = not block
            if b"\0" in block and not (is_empty and block.startswith(_UTF16_MARKS)):
                expected = "a CSV or Parquet file"
                raise refusal("wrong_file_type", expected=expected, got="other binary data", hint="save it as CSV")
            try:
                decoder.decode(block, final=is_last)
            except UnicodeDecodeError as error:
                line = n_lines + error.object[: error.start].count(b"\n")
                got = f"other bytes in line {line}"
                raise refusal("not_utf8", expected="UTF-8 text", got=got, hint="save the file as UTF-8") from None
            n_lines += block.count(b"\n")
            is_empty = is_empty and is_last
    if is_empty:
        raise refusal("empty_file", expected="a table", got="an empty file")


def _records(path: Path, is_gzip: bool, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each record, without empty lines, as read by Python's `csv`."""
    with io.TextIOWrapper(_open(path, is_gzip), encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter)
        for fields in reader:
            if fields:
                yield reader.line_num, fields


def _header(path: Path, is_gzip: bool) -> tuple[list[str], str]:
    """Read the header's fields and choose the delimiter: the one that gives the most fields."""
    headers = {d: next(_records(path, is_gzip, d), (0, []))[1] for d in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda d: len(headers[d]))
    if not headers[delimiter]:
        raise refusal("empty_file", expected="a table", got="a file of empty lines")
    return headers[delimiter], delimiter


def _ragged(path: Path, is_gzip: bool, delimiter: str, n_columns: int) -> Exception | None:
    """Make the error for the first line with a wrong number of values; None where no line has one."""
    for line, fields in _records(path, is_gzip, delimiter):
        if len(fields) != n_columns:
            got = f"{len(fields)} in line {line}"
            return refusal("ragged_row", expected=f"{n_columns} values in every line", got=got, hint="mend that line")
    return None


def _unique_names(raw: list[str]) -> list[str]:
    """Strip the header's names; a column without a name is named by its place, as `column_3`.

    Raises:
        DatasetUnreadable: `duplicate_column`.
    """
    names = [name.strip() or f"column_{i}" for i, name in enumerate(raw, start=1)]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise refusal(
            "duplicate_column", expected="each column name once", got=", ".join(repeated), hint="rename one of them"
        )
    return names


def _from_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert a column of text to numbers if all values are numbers, all booleans or all dates; else keep the text."""
    text = _cleaned(column)
    if text.null_count == len(text):
        return text.cast(pa.float64())
    return _first_that_fits(text) or text


def _first_that_fits(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    lower = pc.utf8_lower(text)
    if pc.all(pc.is_in(lower, value_set=pa.array(["true", "false", None]))).as_py():
        return pc.equal(lower, "true").cast(pa.int8()).cast(pa.float64())
    for kind in (pa.float64(), pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            text.slice(0, _PROBE_ROWS).cast(kind)  # a failing cast is slow, so try a few rows first
            values = text.cast(kind)
        except pa.ArrowInvalid:
            continue
        return values if kind == pa.float64() else _seconds(values)
    return None


def _cleaned(text: pa.ChunkedArray) -> pa.ChunkedArray:
    trimmed = pc.utf8_trim_whitespace(text)
    is_missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array([*MISSING_WORDS, None], pa.string()))
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), trimmed)


def _all_missing_is_number(text: pa.ChunkedArray) -> pa.ChunkedArray:
    return text.cast(pa.float64()) if text.null_count == len(text) else text


def _seconds(times: pa.ChunkedArray) -> pa.ChunkedArray:
    ticks = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[times.type.unit]
    return pc.divide(times.cast(pa.int64()).cast(pa.float64(), safe=False), ticks)
