"""Find numbers and dates that stand for "no value", as -999: an extreme that repeats, far from the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import DateColumn, NumberColumn
from foldstep.service.contract.dataset import Column, Finding
from foldstep.service.data.sayings import as_type

_LEAST_ROWS = 20
_LEAST_TIMES = 3
"""A value that is there less often is rather a mistake, or true."""
_LEAST_DIFFERENT = 10
"""Different values among the rest, from which on an extreme of any digits is suspicious."""
_FAR, _FAR_OF_NINES = 5.0, 0.5
"""The gap between the extreme and the rest, in widths of the rest."""
_NINES = re.compile(r"-?(9+(\.9+)?|8{2,}|7{2,})")
_LIMITS = frozenset({32767.0, -32768.0, 65535.0, 2147483647.0, -2147483648.0, 1e20, 1e30, -1e30})
_DAYS = frozenset({"0001-01-01", "1000-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01", "9999-12-31"})
_SERIAL_NAME = re.compile(r"(^|[_\s.-])(date|datum|fecha|day)s?($|[_\s.-])|[Dd]ate$|日")


def sentinels(column: Column, values: NumberColumn | DateColumn) -> Iterator[Finding]:
    """Warn of an extreme that repeats far from the rest; nothing is changed."""
    present = values.values[np.isfinite(values.values)]
    if len(present) < _LEAST_ROWS:
        return
    is_date = isinstance(values, DateColumn)
    for extreme in (float(present.min()), float(present.max())):
        rest = present[present != extreme]
        n = len(present) - len(rest)
        if n >= _LEAST_TIMES and len(rest) and _is_far(extreme, rest, is_date=is_date):
            yield _finding(column, extreme, n, rest, is_date=is_date)
    if not is_date and _SERIAL_NAME.search(column.name) and _are_serial_days(present):
        sentence = f"{column.name} may be dates as spreadsheets count them ({present[0]:g}): read as numbers."
        setting = f"dates as 2024-01-31 in the file, or {as_type(column.name, 'category')}"
        yield Finding(code="serial_dates", columns=(column.name,), sentence=sentence, setting=setting)


def _is_far(extreme: float, rest: npt.NDArray[np.float64], *, is_date: bool) -> bool:
    low, high = float(rest.min()), float(rest.max())
    gap, width = max(low - extreme, extreme - high), high - low
    if width <= 0 or gap <= _FAR_OF_NINES * width:
        return False
    is_known = _day(extreme) in _DAYS if is_date else extreme in _LIMITS or bool(_NINES.fullmatch(f"{extreme:.15g}"))
    return is_known or (gap > _FAR * width and len(np.unique(rest)) >= _LEAST_DIFFERENT)


def _finding(column: Column, extreme: float, n: int, rest: npt.NDArray[np.float64], *, is_date: bool) -> Finding:
    shown, low, high = (
        _day(value) if is_date else f"{value:.15g}" for value in (extreme, float(rest.min()), float(rest.max()))
    )
    sentence = (
        f'{column.name} is {shown} in {n:,} rows, far from all others ({low} to {high}): does it stand for "no value"?'
    )
    word = _as_written(column, extreme) if is_date else shown
    return Finding(code="sentinel", columns=(column.name,), sentence=sentence, setting=f'data.missing: ["{word}"]',
                   is_warning=True)  # fmt: skip


def _day(seconds: float) -> str:
    return f"{_time(seconds):%Y-%m-%d}".rjust(10, "0")


def _time(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _as_written(column: Column, seconds: float) -> str:
    """Write a date as the column does, for words for "no value" are compared as text."""
    formats = column.reading.formats if column.reading is not None else ()
    format_ = formats[0] if formats else "%Y-%m-%d"
    return f"{_time(seconds):{format_.replace('%.f', '').replace('%#z', '')}}"


def _are_serial_days(values: npt.NDArray[np.float64]) -> bool:
    return bool(((values >= 20_000) & (values <= 60_000)).all())
