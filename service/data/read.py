"""Read a CSV or Parquet file into canonical columns, and decide how each column is read.

A file's content decides how it is read, not its name. Columns of Parquet keep their types: text that looks like
numbers stays text, and is said.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from foldstep.service.contract.columns import ColumnValues, DateColumn, NumberColumn
from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.reading import AS_FOUND, ColumnReading, ReadingOptions, missing_numbers
from foldstep.service.data import typed
from foldstep.service.data.cells import Unfit, canonical, cleaned
from foldstep.service.data.decision import Decision, FileEvidence
from foldstep.service.data.encoding import utf8_file
from foldstep.service.data.kinds import decide, file_evidence
from foldstep.service.data.layout import Layout, check_closed, check_unique, find_layout, records_of
from foldstep.service.data.recognise import PARQUET_MAGIC, check_is_table
from foldstep.service.data.rows import check_rows
from foldstep.service.data.sayings import as_type, quoted
from foldstep.service.data.sources import refusal
from foldstep.service.data.text_columns import text_columns

_PROBE_ROWS = 1000
_PROBE_CELLS = 200_000


@dataclass(frozen=True)
class ReadColumn:
    """A column as it was read.

    Attributes:
        why: why it is of its kind.
        unfit: cells that are missing because they do not fit the kind.
        is_open: whether the order of day and month is a guess.
        is_unnamed: whether the file has no name for it.
    """

    values: ColumnValues
    reading: ColumnReading
    why: str
    unfit: Unfit | None = None
    is_open: bool = False
    is_unnamed: bool = False


@dataclass(frozen=True)
class ReadTable:
    """A table as it was read.

    Attributes:
        columns: by name, in the file's order.
        findings: what the user should know about the reading.
    """

    columns: dict[str, ReadColumn]
    n_rows: int
    findings: list[Finding] = field(default_factory=list)


def read_file(path: Path, options: ReadingOptions = AS_FOUND) -> ReadTable:
    """Read a file of at least two rows.

    Raises:
        DatasetUnreadable: the fault's code says why.
    """
    try:
        table = _read_parquet(path, options) if is_parquet(path) else _read_csv(path, options)
    except MemoryError:  # also Arrow's, which is one of its errors, too
        raise
    except READING_ERRORS as error:
        raise unreadable(error) from error
    if table.n_rows < 2:
        code, got = ("header_only", "a header without rows") if table.n_rows == 0 else ("one_row", "a single row")
        raise refusal(code, expected="a table of at least two rows", got=got)
    values = {name: column.values for name, column in table.columns.items()}
    unfit = {name: column.unfit for name, column in table.columns.items() if column.unfit is not None}
    table.findings.extend(check_rows(values, unfit, table.n_rows))
    return table


READING_ERRORS = (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError, pa.ArrowException)
"""What the libraries raise for files that they cannot read."""


def unreadable(error: Exception) -> Exception:
    """Make the refusal of a file that a library cannot read."""
    got = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
    return refusal("unreadable", expected="a CSV or Parquet file", got=got)


def is_parquet(path: Path) -> bool:
    """Tell whether a file is Parquet; refuse what is no table.

    Raises:
        DatasetUnreadable: `folder`, `wrong_file_type`.
    """
    check_is_table(path)
    with path.open("rb") as file:
        return file.read(4) == PARQUET_MAGIC


def _read_csv(path: Path, options: ReadingOptions) -> ReadTable:
    with utf8_file(path, options.encoding) as (plain, findings):
        layout = find_layout(plain)
        evidence = _evidence(plain, layout, options)
        columns: dict[str, ReadColumn] = {}
        findings = [*findings, *layout.findings]
        for name, text in text_columns(plain, layout, layout.names):
            columns[name] = _read_text(name, text, options, evidence, findings, is_unnamed=name in layout.unnamed)
        n_rows = len(text)
        check_closed(plain, text[-1] if n_rows else None)
    return ReadTable(columns, n_rows, findings)


def _read_text(
    name: str,
    text: pl.Series,
    options: ReadingOptions,
    evidence: FileEvidence,
    findings: list[Finding],
    *,
    is_unnamed: bool,
) -> ReadColumn:
    cells = cleaned(text, options.missing_words).alias(name)
    decision = decide(cells, options, evidence)
    values, unfit = canonical(cells, decision.reading, decision.values)
    values = without(values, options.missing_words)
    findings += _reading_findings(name, text, cells, decision, unfit)
    return ReadColumn(values, decision.reading, decision.why, unfit, decision.is_open, is_unnamed)


def without(values: ColumnValues, missing: Sequence[str]) -> ColumnValues:
    """Take numbers that stand for "no value" as missing, as -999 however it is written."""
    numbers = missing_numbers(missing)
    if not numbers or not isinstance(values, NumberColumn):
        return values
    return NumberColumn(np.where(np.isin(values.values, numbers), np.nan, values.values))


def _reading_findings(
    name: str, text: pl.Series, cells: pl.Series, decision: Decision, unfit: Unfit | None
) -> Iterator[Finding]:
    """Say what a column lost: cells that do not fit, words that were read as missing."""
    yield from decision.findings
    if unfit is not None:
        what = "numbers" if decision.reading.kind == "number" else "dates"
        sentence = f"{name} is {what} but for {unfit}, read as missing."
        setting = as_type(name, "category") + " keeps them as text"
        yield Finding(code="unfit_cells", columns=(name,), sentence=sentence, setting=setting, is_warning=True)
    if decision.reading.kind != "category":
        return
    words = text.filter(cells.is_null() & text.is_not_null()).str.strip_chars()
    words = words.filter(words != "")
    if len(words):
        shown = words.unique(maintain_order=True).head(3).to_list()
        what = f"{len(words)} cell{'s say' if len(words) > 1 else ' says'} {' or '.join(shown)}"
        sentence = f"{name}: {what}, read as missing."
        setting = f"data.not_missing: [{', '.join(map(quoted, shown))}]"
        yield Finding(code="missing_words", columns=(name,), sentence=sentence, setting=setting)


def _evidence(path: Path, layout: Layout, options: ReadingOptions) -> FileEvidence:
    """Gather what the first rows tell of the file's way of writing."""
    n_rows = min(_PROBE_ROWS, 20 + _PROBE_CELLS // len(layout.names))
    records = [fields for _, fields in islice(records_of(path, layout.delimiter, layout.n_skipped), n_rows + 1)][1:]
    width = len(layout.names)
    rows = [fields for fields in records if len(fields) == width]
    columns = (
        cleaned(pl.Series(name, [fields[i] for fields in rows], dtype=pl.String), options.missing_words)
        for i, name in enumerate(layout.names)
    )
    return file_evidence(columns, options, layout.delimiter)


def _read_parquet(path: Path, options: ReadingOptions) -> ReadTable:
    file = pq.ParquetFile(path)
    names = [name.strip() or f"column_{i}" for i, name in enumerate(file.schema_arrow.names, start=1)]
    check_unique(names)
    columns: dict[str, ReadColumn] = {}
    findings: list[Finding] = []
    for name, raw in zip(names, file.schema_arrow.names, strict=True):
        column = file.read(columns=[raw]).column(0) if raw else file.read().column(names.index(name))
        is_unnamed = not raw.strip() or raw == "__index_level_0__"
        if options.types.get(name) == "ignore":
            column = pa.chunked_array([pa.nulls(file.metadata.num_rows)])  # of whatever type it is
        columns[name] = _read_typed(name, typed.unpacked(name, column), options, findings, is_unnamed=is_unnamed)
    return ReadTable(columns, file.metadata.num_rows, findings)


def _read_typed(
    name: str, column: pa.ChunkedArray, options: ReadingOptions, findings: list[Finding], *, is_unnamed: bool
) -> ReadColumn:
    kind = typed.kind_of(column.type)
    if name in options.types and options.types[name] not in ("ignore", kind):
        return _read_text(name, typed.as_text(column), options, FileEvidence(), findings, is_unnamed=is_unnamed)
    if kind == "number" and not (typed.is_rounded(column) and options.types.get(name) != "number"):
        values = without(NumberColumn(filled(typed.numbers(column))), options.missing_words)
    elif kind == "date":
        values = DateColumn(filled(typed.seconds(column)))
    else:
        return _read_typed_text(name, column, options, findings, is_unnamed=is_unnamed)
    reading = ColumnReading(name=name, kind="number" if isinstance(values, NumberColumn) else "date")
    return ReadColumn(values, reading, f"of type {column.type}", is_unnamed=is_unnamed)


def _read_typed_text(
    name: str, column: pa.ChunkedArray, options: ReadingOptions, findings: list[Finding], *, is_unnamed: bool
) -> ReadColumn:
    """Read text, booleans, and whole numbers that float64 would change, as categories; dates in text as dates."""
    text = typed.as_text(column)
    cells = cleaned(text, options.missing_words).alias(name)
    decision = decide(cells, options, FileEvidence())
    if decision.reading.kind == "number" and cells.null_count() < len(cells):
        sentence = f"{name} is text that looks like numbers, and stays text, for the file says so."
        setting = as_type(name, "number")
        said = Finding(code="text_of_numbers", columns=(name,), sentence=sentence, setting=setting)
        reading = ColumnReading(name=name, kind="category")
        decision = Decision(reading, f"of type {column.type}", findings=[said])
    values, unfit = canonical(cells, decision.reading, decision.values)
    findings += _reading_findings(name, text, cells, decision, unfit)
    return ReadColumn(values, decision.reading, decision.why, unfit, decision.is_open, is_unnamed)


def filled(values: pl.Series) -> np.ndarray:
    """Convert numbers to an array, with NaN for null."""
    filled: np.ndarray = values.fill_null(np.nan).to_numpy().astype(np.float64, copy=False)
    return filled
