"""Read a file for a checkpoint of an earlier version, which did not save how its training data were read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn, NumberColumn
from foldstep.service.contract.reading import ColumnReading, TableReading
from foldstep.service.data.read_as import TableAs, read_as

_WORDS = ("false", "true")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def read_as_earlier(source: Path | pa.Table, reading: TableReading, *, keep: Sequence[str]) -> TableAs:
    """Read a file, or a table in memory, by what the checkpoint's columns became: numbers or categories.

    Earlier versions made numbers of `true` and `false` (1 and 0) and of ISO 8601 dates (seconds since 1970), too; a
    column whose cells are such is read so.
    """
    table = read_as(source, reading, keep=keep)
    other = {c.name: found for c in reading.columns if (found := _other_reading(c, table)) is not None}
    if not other:
        return table
    columns = tuple(other.get(c.name, c) for c in reading.columns)
    again = read_as(source, reading.model_copy(update={"columns": columns}), keep=keep)
    again.columns.update({name: _numbers(again.columns[name]) for name in other})
    return again


def _other_reading(column: ColumnReading, table: TableAs) -> ColumnReading | None:
    """Choose another reading of a column of numbers whose cells are words or dates."""
    unfit = table.unfit.get(column.name)
    if column.kind != "number" or unfit is None:
        return None
    if {cell.lower() for cell in unfit.examples} <= set(_WORDS):
        return column.model_copy(update={"kind": "category", "labels": _WORDS})
    if all(_DAY.match(cell) for cell in unfit.examples):
        return column.model_copy(update={"kind": "date"})
    return None


def _numbers(column: ColumnValues) -> NumberColumn:
    if isinstance(column, CategoryColumn):
        number_of = [float(_WORDS.index(label)) if label in _WORDS else np.nan for label in column.labels]
        return NumberColumn(np.array([*number_of, np.nan])[column.codes])
    assert isinstance(column, DateColumn | NumberColumn)
    return NumberColumn(column.values)
