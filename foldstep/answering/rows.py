"""Rows that came as JSON, as an Arrow table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from foldstep.frames import as_arrow
from foldstep.prediction_notes import names_with
from foldstep.service.contract.errors import Fault, InvalidInput, TooLarge, shown

_EXAMPLE = '{"rows": [{"COLUMN": VALUE, …}, …]}'


def read_rows(content: bytes, columns: Sequence[str], most: int) -> tuple[pa.Table, list[str]]:
    """Read `{"rows": [...]}`.

    A column that a row does not name has no value there. Where no row does, the column is not there, as in a file.

    Args:
        content: the JSON.
        columns: the columns that networks need.
        most: rows at most.

    Returns:
        The table, and what a user should know of it, one sentence each.

    Raises:
        InvalidInput: it is something else.
        TooLarge: there are more rows.
    """
    rows = _rows(content)
    check_number(len(rows), most)
    _check_rows(rows)
    names = list(dict.fromkeys(name for row in rows for name in row)) if rows else list(columns)
    counts = {name: sum(name not in row for row in rows) for name in columns if name in names}
    return as_arrow({name: [row.get(name) for row in rows] for name in names}, []), _notes(counts)


def check_number(n: int, most: int) -> None:
    """Refuse more rows than a master predicts at once.

    Raises:
        TooLarge: there are more.
    """
    if n > most:
        hint = "send them in parts, or raise FOLDSTEP_MAX_PREDICT_ROWS of the master"
        fault = Fault(code="too_many_rows", path="rows", expected=f"at most {most:,} rows", got=f"{n:,}", hint=hint)
        raise TooLarge(f"There are too many rows to predict at once: {fault}.", faults=[fault])


def _rows(content: bytes) -> list[Any]:
    try:
        read = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise _refusal("not_readable", "", f"JSON, {_EXAMPLE}", str(error)) from None
    if not isinstance(read, dict) or read.keys() != {"rows"} or not isinstance(read["rows"], list):
        got = f"the keys {', '.join(read) or 'none'}" if isinstance(read, dict) else type(read).__name__
        raise _refusal("not_rows", "", _EXAMPLE, got, "send CSV with the content type text/csv")
    rows: list[Any] = read["rows"]
    return rows


def _check_rows(rows: Sequence[Any]) -> None:
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _refusal("not_rows", f"rows.{i}", "an object with a value for each column", type(row).__name__)
        odd = next((name for name, cell in row.items() if isinstance(cell, dict | list)), None)
        if odd is not None:
            expected = "a number, a text, true, false or null"
            raise _refusal("not_a_cell", f"rows.{i}.{odd}", expected, type(row[odd]).__name__)


def _refusal(code: str, path: str, expected: str, got: str, hint: str | None = None) -> InvalidInput:
    fault = Fault(code=code, path=path or "body", expected=expected, got=shown(got), hint=hint)
    return InvalidInput(f"The rows cannot be used: {fault}.", faults=[fault])


def _notes(n_lacking: dict[str, int]) -> list[str]:
    lacking = {name: f"{n:,} {'row' if n == 1 else 'rows'}" for name, n in n_lacking.items() if n}
    return [f"Some rows do not name all columns, which count as missing there: {names_with(lacking)}."] * bool(lacking)
