"""The numbers of a date over any operations, in float64; `contract.features.DATE_PARTS` is the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from foldstep.portable.ops import Ops, Value
from foldstep.service.contract.features import DAY_S

_TO_MARCH_0 = 719_468.0  # days from the first of March of the year 0 to 1970-01-01
_DAYS_OF_400, _JANUARY = 146_097.0, 306.0  # days from the first of March to the first of January


def _whole(ops: Ops, x: Value, divisor: float) -> Value:
    return ops.floor(x / divisor)


def _rest(ops: Ops, x: Value, divisor: float) -> Value:
    return x - _whole(ops, x, divisor) * divisor


def _year_and_day(ops: Ops, seconds: Value) -> tuple[Value, Value]:
    """Find the year that begins in March, and the day of it from 0; years of that kind end with the leap day.

    Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
    """
    days = _whole(ops, seconds, DAY_S) + _TO_MARCH_0
    era, day = _whole(ops, days, _DAYS_OF_400), _rest(ops, days, _DAYS_OF_400)
    leap_days = _whole(ops, day, 1460.0) - _whole(ops, day, 36_524.0) + _whole(ops, day, 146_096.0)
    year = _whole(ops, day - leap_days, 365.0)
    return era * 400.0 + year, day - _days_of_years(ops, year)


def _days_of_years(ops: Ops, year: Value) -> Value:
    return year * 365.0 + _whole(ops, year, 4.0) - _whole(ops, year, 100.0)


def _year(ops: Ops, seconds: Value) -> Value:
    year, day = _year_and_day(ops, seconds)
    return ops.where(day >= _JANUARY, year + 1.0, year)


def _month(ops: Ops, seconds: Value) -> Value:
    _, day = _year_and_day(ops, seconds)
    month = _whole(ops, day * 5.0 + 2.0, 153.0)
    return ops.where(month < 9.5, month + 3.0, month - 9.0)


def _day_of_year(ops: Ops, seconds: Value) -> Value:
    before = _year(ops, seconds) - 1.0  # January belongs to the year that began in the March before
    era, year = _whole(ops, before, 400.0), _rest(ops, before, 400.0)
    first = era * _DAYS_OF_400 + _days_of_years(ops, year) + _JANUARY - _TO_MARCH_0
    return _whole(ops, seconds, DAY_S) - first + 1.0


PARTS: Mapping[str, Callable[[Ops, Value], Value]] = {
    "days": lambda _ops, seconds: seconds / DAY_S,
    "year": _year,
    "month": _month,
    "day_of_year": _day_of_year,
    "day_of_week": lambda ops, seconds: _rest(ops, _whole(ops, seconds, DAY_S) + 3.0, 7.0) + 1.0,
    "hour": lambda ops, seconds: _rest(ops, seconds, DAY_S) / 3600.0,
}
"""By the name in `contract.features.DATE_PARTS`; a test checks that none is missing."""
