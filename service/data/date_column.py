"""Decide whether a column of text is dates, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.reading import ColumnReading, ReadingOptions
from foldstep.service.data.cells import unfit_cells
from foldstep.service.data.dates import FoundDates, find_dates, seconds_of
from foldstep.service.data.decision import FITTING_SHARE, Decision, FileEvidence, mostly_fits
from foldstep.service.data.sayings import as_type

_WORDS = {"%d": "DD", "%m": "MM", "%Y": "YYYY", "%y": "YY", "%b": "Mon", "%B": "Month", "%H": "HH", "%M": "MM",
          "%S": "SS", "%.f": "", "%I": "HH", "%p": "AM", "%#z": "+ZZ", "%a": "Day", "%q": "1"}  # fmt: skip
_YEARS = (1600, 2399)
"""Years outside of these are rather of another calendar, or no dates."""
_SOON = 2040
"""A year of two digits from which on it rather was meant a century earlier."""


def decide_date(
    text: pl.Series, options: ReadingOptions, evidence: FileEvidence, least: float = FITTING_SHARE
) -> Decision | None:
    """Decide on a column of dates; None where it is none. The arguments are those of `decide_number`."""
    found = find_dates(text, options.dates, evidence.order, least=least)
    if found is None:
        return None
    values = seconds_of(text, found.formats)
    if not mostly_fits(text, values, least):
        return None
    reading = ColumnReading(name=text.name, kind="date", formats=found.formats)
    unfit = unfit_cells(text, values)
    why = "every cell is a date" if unfit is None else f"dates but for {unfit}"
    findings = [*_order_findings(text, found, options), *_year_findings(text, values, found)]
    return Decision(reading, why, unfit, findings, found.is_open)


def _order_findings(text: pl.Series, found: FoundDates, options: ReadingOptions) -> Iterable[Finding]:
    """Say in which order day and month were read, and in how many ways dates are written."""
    name = text.name
    if found.is_open:
        first = next(f for f in found.formats if "%d" in f)
        order = "day" if first.index("%d") < first.index("%m") else "month"
        cell = text.drop_nulls()[0]
        sentence = f"{name}: day and month could be either way round in every cell ({cell}); read as {order} first."
        setting = "data.dates: day_first or month_first"
        yield Finding(code="open_dates", columns=(name,), sentence=sentence, setting=setting, is_warning=True)
    if len(found.formats) > 1:
        ways = ", ".join(map(written, found.formats))
        yield Finding(code="mixed_dates", columns=(name,), sentence=f"{name} writes dates in several ways: {ways}.",
                      setting=as_type(name, "category"))  # fmt: skip
    elif found.order is not None and not found.is_open and options.dates is None:
        sentence = f"{name} is dates, {found.order.replace('_', ' ')} ({written(found.formats[0])})."
        setting = "data.dates: day_first, month_first or year_first"
        yield Finding(code="date_order", columns=(name,), sentence=sentence, setting=setting)


def _year_findings(text: pl.Series, values: pl.Series, found: FoundDates) -> Iterable[Finding]:
    """Say how years of two digits were read, and where years rather are of another calendar."""
    name = text.name
    years = pl.select(pl.from_epoch(pl.lit(values).cast(pl.Int64), "s").dt.year()).to_series()
    if any("%y" in f for f in found.formats):
        last = int(years.arg_max() or 0)
        sentence = f"{name} has years of two digits, read as 1970 to 2069 ({text[last]} is in {years[last]})."
        setting = f"years of four digits in the file, or {as_type(name, 'category')}"
        yield Finding(code="short_years", columns=(name,), sentence=sentence, setting=setting,
                      is_warning=bool(years.max() >= _SOON))  # type: ignore[operator]  # fmt: skip
    odd = (~years.is_between(*_YEARS)).fill_null(False)
    if odd.sum() > 0.5 * years.count():
        cell = text.filter(odd)[0]
        sentence = f"{name} has years as in {cell}: they are read by the Gregorian calendar, and may be of another."
        setting = as_type(name, "category")
        yield Finding(code="other_calendar", columns=(name,), sentence=sentence, setting=setting, is_warning=True)


def written(format_: str) -> str:
    """Write a format of dates as people do: DD/MM/YYYY."""
    for mark, word in _WORDS.items():
        format_ = format_.replace(mark, word)
    return format_
