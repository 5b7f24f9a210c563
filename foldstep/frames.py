"""Tables in memory, as users of the Python interface have them, as Arrow tables; pandas and polars are not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from foldstep.service.contract.errors import Fault, InvalidInput

_NO_VALUE = ("nan", "NaT", "<NA>")
"""How pandas and NumPy write a missing value."""
_KINDS = "a pandas or polars DataFrame, an Arrow table, a dict of columns, or rows in the order of `columns`"


def as_arrow(table: Any, columns: Sequence[str]) -> pa.Table:
    """Convert a table in memory.

    Args:
        table: a DataFrame of pandas or polars, an Arrow table, a mapping of names to columns, or an array or a sequence
            of rows without names.
        columns: the names of the columns of rows without names.

    Raises:
        InvalidInput: it is no table, two columns have one name, or columns differ in length.
    """
    if isinstance(table, str | bytes):
        raise _refusal("no_table", _KINDS, type(table).__name__, "`foldstep predict` reads files")
    if hasattr(table, "collect") and not hasattr(table, "__len__"):
        raise _refusal("no_table", _KINDS, type(table).__name__, "collect a lazy table first")
    names = table.column_names if hasattr(table, "column_names") else getattr(table, "columns", None)
    if isinstance(table, Mapping):
        names = list(table)
    if names is None:
        return _of_rows(table, columns)
    named = [str(name) for name in names]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise _refusal("repeated_column", "columns with different names", ", ".join(twice), "rename them")
    return _table(named, [_column(table[key], str(key)) for key in names])


def _of_rows(rows: Any, columns: Sequence[str]) -> pa.Table:
    if isinstance(rows, np.ndarray):
        matrix = rows
    elif isinstance(rows, Sequence):
        matrix = _objects(rows, len(columns))
    else:
        raise _refusal("no_table", _KINDS, type(rows).__name__, "convert it")
    if matrix.ndim != 2 or matrix.shape[1] != len(columns):
        expected = f"rows of {len(columns)} values, for {', '.join(columns[:10])}{', …' if len(columns) > 10 else ''}"
        raise _refusal("wrong_width", expected, f"shape {matrix.shape}", "`columns` has their order")
    return _table(columns, [_column(matrix[:, j], name) for j, name in enumerate(columns)])


def _objects(rows: Sequence[Any], n_columns: int) -> np.ndarray:
    """Put a sequence of rows into a matrix of objects, so that numbers beside text stay numbers."""
    widths = {len(row) if isinstance(row, Sequence | np.ndarray) and not isinstance(row, str) else 0 for row in rows}
    if len(widths) > 1:
        raise _refusal("wrong_width", "rows of one length", f"lengths {min(widths)} and {max(widths)}", "fill them")
    matrix = np.empty((len(rows), widths.pop() if widths else n_columns), dtype=object)
    for i, row in enumerate(rows):
        matrix[i] = list(row) if matrix.shape[1] else []
    return matrix


def _table(names: Sequence[str], arrays: Sequence[Any]) -> pa.Table:
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise _refusal(
            "wrong_width", "columns of one length", f"lengths {min(lengths)} and {max(lengths)}", "fill them"
        )
    return pa.Table.from_arrays(list(arrays), names=list(names))


def _column(column: Any, name: str) -> Any:
    """Convert one column; cells of different types become text, which is read as a file's cells are."""
    try:
        if hasattr(column, "__arrow_c_stream__"):
            return pa.chunked_array(column)
        if isinstance(column, str | bytes) or not hasattr(column, "__len__") or getattr(column, "ndim", 1) != 1:
            raise _refusal("no_table", f"a list of values in the column {name}", type(column).__name__, "make it one")
        found = pa.array(_plain(column), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        found = pa.array([_text(cell) for cell in column], pa.string())
    return pa.chunked_array([found])


def _plain(column: Any) -> Any:
    """Widen what Arrow does not take: numbers with 16 bits."""
    return column.astype(np.float32) if isinstance(column, np.ndarray) and column.dtype == np.float16 else column


def _text(cell: Any) -> str | None:
    """Write a cell of a column of different types, missing ones as None; whole numbers without a point."""
    if cell is None or str(cell) in _NO_VALUE:
        return None
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _refusal(code: str, expected: str, got: str, hint: str) -> InvalidInput:
    fault = Fault(code=code, path="table", expected=expected, got=got, hint=hint)
    return InvalidInput(f"The table cannot be used: {fault}.", faults=[fault])
