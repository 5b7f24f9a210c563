"""Read a file as an earlier one was read: the kinds of its columns are imposed, and what does not fit is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from foldstep.service.contract.columns import ColumnValues, DateColumn, NumberColumn
from foldstep.service.contract.features import HUGE
from foldstep.service.contract.reading import AS_FOUND, ColumnReading, DateOrder, ReadingOptions, TableReading
from foldstep.service.data import typed
from foldstep.service.data.cells import Unfit, canonical, categories, cleaned, unfit_cells, values_of
from foldstep.service.data.decision import FileEvidence
from foldstep.service.data.encoding import utf8_file
from foldstep.service.data.kinds import decide
from foldstep.service.data.layout import find_layout
from foldstep.service.data.read import READING_ERRORS, filled, is_parquet, unreadable, without
from foldstep.service.data.text_columns import text_columns


@dataclass(frozen=True)
class TableAs:
    """A file read by the reading of another.

    Attributes:
        columns: the columns of the reading that the file has.
        n_rows: may be 0.
        unfit: by column, the cells that do not fit its kind; they are missing.
        missing_columns: the columns of the reading that the file lacks.
        names: all columns of the file.
        kept: columns that are carried along, as text exactly as written; None where a cell is empty.
    """

    columns: dict[str, ColumnValues]
    n_rows: int
    unfit: dict[str, Unfit]
    missing_columns: list[str]
    names: list[str]
    kept: dict[str, list[str | None]]


def read_as(
    source: Path | pa.Table, reading: TableReading, *, keep: Sequence[str] = (), options: ReadingOptions = AS_FOUND
) -> TableAs:
    """Read a file, or a table in memory, of any number of rows.

    Args:
        source: a CSV or Parquet file, or an Arrow table, which is read as Parquet is.
        reading: of the data that a network was trained on; numbers and dates that are written in another way than there
            are read, too.
        keep: columns to carry along.
        options: the encoding, where the file is not UTF-8.

    Raises:
        DatasetUnreadable: the file's code says why.
    """
    try:
        if not isinstance(source, Path):
            return _typed(source, reading, keep)
        if is_parquet(source):
            return _typed(pq.ParquetFile(source).read(), reading, keep)
        return _csv(source, reading, keep, options)
    except MemoryError:
        raise
    except READING_ERRORS as error:
        raise unreadable(error) from error


def _csv(path: Path, reading: TableReading, keep: Sequence[str], options: ReadingOptions) -> TableAs:
    with utf8_file(path, options.encoding) as (plain, _):
        layout = find_layout(plain)
        by_name = {column.name: column for column in reading.columns}
        wanted = [name for name in layout.names if name in by_name or name in keep] or layout.names[:1]
        table = TableAs({}, 0, {}, [name for name in by_name if name not in layout.names], layout.names, {})
        n_rows = 0
        for name, text in text_columns(plain, layout, wanted):
            n_rows = len(text)
            if name in keep:
                table.kept[name] = [cell or None for cell in text.to_list()]
            if name in by_name:
                _add(
                    table, by_name[name], cleaned(text, reading.missing).alias(name), reading.missing, layout.delimiter
                )
    return _with_rows(table, n_rows)


def _typed(content: pa.Table, reading: TableReading, keep: Sequence[str]) -> TableAs:
    names = [name.strip() or f"column_{i}" for i, name in enumerate(content.schema.names, start=1)]
    by_name = {column.name: column for column in reading.columns}
    table = TableAs({}, 0, {}, [name for name in by_name if name not in names], names, {})
    for i, name in enumerate(names):
        if name in keep:
            table.kept[name] = typed.as_text(typed.unpacked(name, content.column(i))).to_list()
        if name in by_name:
            _add_typed(table, by_name[name], typed.unpacked(name, content.column(i)), reading)
    return _with_rows(table, content.num_rows)


def _with_rows(table: TableAs, n_rows: int) -> TableAs:
    return TableAs(table.columns, n_rows, table.unfit, table.missing_columns, table.names, table.kept)


def _add_typed(table: TableAs, reading: ColumnReading, column: pa.ChunkedArray, whole: TableReading) -> None:
    """Take a column with a type: as it is where its type is the reading's kind, else by way of text."""
    kind = typed.kind_of(column.type)
    if reading.kind == "number" and (kind == "number" or pa.types.is_boolean(column.type)):
        values = _finite(typed.numbers(column))
        _tell_unfit(table, typed.as_text(column).alias(reading.name), values)
        table.columns[reading.name] = without(NumberColumn(filled(values)), whole.missing)
    elif reading.kind == kind == "date":
        table.columns[reading.name] = DateColumn(filled(typed.seconds(column)))
    else:
        _add(table, reading, cleaned(typed.as_text(column), whole.missing).alias(reading.name), whole.missing, ",")


def _add(table: TableAs, reading: ColumnReading, text: pl.Series, missing: Sequence[str], delimiter: str) -> None:
    if reading.kind == "category":
        table.columns[reading.name] = canonical(text, reading)[0] if text.null_count() < len(text) else categories(text)
        return
    values = _in_any_writing(text, reading, values_of(text, reading), delimiter)
    values = _finite(values) if reading.kind == "number" else values
    _tell_unfit(table, text, values)
    kind = NumberColumn if reading.kind == "number" else DateColumn
    table.columns[reading.name] = without(kind(filled(values)), missing)


def _finite(values: pl.Series) -> pl.Series:
    """Take numbers that are infinite, or too great to calculate with, as no numbers: they count as missing."""
    is_huge = (values.abs() > HUGE).fill_null(False)
    return values.set(is_huge, None) if is_huge.any() else values


def _tell_unfit(table: TableAs, text: pl.Series, values: pl.Series) -> None:
    unfit = unfit_cells(text, values)
    if unfit is not None:
        table.unfit[text.name] = unfit


def _in_any_writing(text: pl.Series, reading: ColumnReading, values: pl.Series, delimiter: str) -> pl.Series:
    """Read the cells that the reading does not fit in the way that they are written, if that gives the same kind."""
    if values.null_count() == text.null_count():
        return values
    rest = pl.select(pl.when(pl.lit(values).is_null()).then(pl.lit(text)).otherwise(None)).to_series().alias(text.name)
    said = ReadingOptions(dates=_order_of(reading))
    found = decide(rest, said, FileEvidence(decimal=reading.decimal, delimiter=delimiter))
    if found.reading.kind != reading.kind or found.reading.unit not in ("", reading.unit):
        return values
    return pl.select(pl.coalesce(pl.lit(values), pl.lit(values_of(rest, found.reading)))).to_series()


def _order_of(reading: ColumnReading) -> DateOrder | None:
    """Tell the order of day and month that a reading has, so that another file's dates are not read the other way."""
    ordered = [f for f in reading.formats if "%d" in f and "%m" in f and not f.startswith("%Y")]
    if not ordered:
        return None
    return "day_first" if ordered[0].index("%d") < ordered[0].index("%m") else "month_first"
