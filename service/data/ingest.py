"""Converts a file or a bundled set to the canonical file that workers fetch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foldstep.service.contract.columns import ColumnValues, DateColumn, NumberColumn, column_from_arrow, fingerprint
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.reading import AS_FOUND, ColumnReading, ReadingOptions
from foldstep.service.data.describe import describe, table_findings
from foldstep.service.data.read import ReadColumn, ReadTable, read_file
from foldstep.service.data.sources import BUNDLED, refusal


def ingest(
    source: str | Path, *, into: Path, shown_as: str | None = None, options: ReadingOptions = AS_FOUND
) -> DatasetDescription:
    """Read a data set and write its canonical file, `<into>/<fingerprint>.parquet`.

    The file is written whole or not at all; writing the same data twice leaves one file.

    Args:
        source: a bundled set's name, or a path (allowed already, see `sources.resolve_path`).
        into: folder of canonical files; made where it is missing.
        shown_as: what the description calls the source; the source itself when left out.
        options: what the user says about how it is read.

    Raises:
        DatasetUnreadable: the fault's code says why.
    """
    is_bundled = isinstance(source, str) and source in BUNDLED
    table = _bundled(str(source)) if is_bundled else _read_of_several_columns(Path(source), options)
    _check_types(table, options)
    columns = [describe(name, column, options) for name, column in table.columns.items()]
    values = {name: column.values for name, column in table.columns.items()}
    name = fingerprint(values)
    return DatasetDescription(
        fingerprint=name,
        source=shown_as or str(source),
        bundled=is_bundled,
        n_rows=table.n_rows,
        columns=columns,
        bytes=_write(values, into / f"{name}.parquet"),
        options=options,
        findings=(*table.findings, *table_findings(table, columns)),
    )


def _read_of_several_columns(path: Path, options: ReadingOptions) -> ReadTable:
    table = read_file(path, options)
    if len(table.columns) < 2:
        got = f"one column, {next(iter(table.columns))!r}"
        raise refusal("one_column", expected="a target and at least one other column", got=got,
                      hint="separate the columns by a comma, semicolon, tab or |")  # fmt: skip
    return table


def _check_types(table: ReadTable, options: ReadingOptions) -> None:
    """Refuse types for columns that there are not."""
    for name in options.types:
        if name not in table.columns:
            near = nearest(name, list(table.columns))
            hint = f"did you mean {near}?" if near else "the columns are " + ", ".join(list(table.columns)[:20])
            raise refusal("unknown_column", expected="a column of the data in data.types", got=name, hint=hint)


def _bundled(name: str) -> ReadTable:
    from foldstep.service.data.bundled import load_bundled  # imports scikit-learn for a second, which files do not need

    table = load_bundled(name)
    columns = {
        column: ReadColumn(column_from_arrow(table.column(column).combine_chunks()), _number(column), "bundled numbers")
        for column in table.column_names
    }
    return ReadTable(columns, table.num_rows)


def _number(name: str) -> ColumnReading:
    return ColumnReading(name=name, kind="number")


def _write(columns: Mapping[str, ColumnValues], path: Path) -> int:
    """Write a temporary file, flush it to the disk, rename it, and return its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: _to_arrow(column) for name, column in columns.items()})
    with NamedTemporaryFile(dir=path.parent, prefix=".ingest-", delete=False) as file:
        try:
            pq.write_table(table, file, store_schema=False)  # text is text again, not the dictionary that it is here
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return path.stat().st_size


def _to_arrow(column: ColumnValues) -> pa.Array:
    if isinstance(column, NumberColumn):
        return pa.array(column.values)
    if isinstance(column, DateColumn):
        ticks = pa.array(np.round(column.values * 1e6), mask=np.isnan(column.values))
        return ticks.cast(pa.int64()).cast(pa.timestamp("us"))
    codes = pa.array(column.codes, mask=column.codes < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(column.labels, pa.string()))
