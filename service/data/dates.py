"""Find how the dates of a text column are written, and convert them: polars' strict parser under a list of formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl

from foldstep.service.contract.reading import DateOrder
from foldstep.service.data.no_value import is_no_value
from foldstep.service.data.sampling import thinned

SAMPLE = 1000
"""Different cells that formats are tried on."""
MOST_FORMATS = 4
"""Ways of writing that one column may mix."""

_LIKELY = (
    r"^\d{4}[-/.]\d{1,2}\b|^\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})\b|^\d{1,2}[-/.]\d{4}$|^\d{8}$"
    r"|^\d{2}[-/.]\d{1,2}[-/.]\d{1,2}\b|^\d{1,2}\.?[-/ ]\pL{3,9}\.?[-/ ]\d{2,4}\b|^\pL{3,9}\.? \d{1,2},? \d{4}\b"
    r"|^\pL{3},? (\d{1,2} )?\pL{3} |^\pL{3,9}\.?[- ](\d{4}|\d{2})$|^\d{4}[- ]?Q[1-4]$|^Q[1-4][- /]\d{4}$"
    r"|^\d{4}年\d{1,2}月|^\d{4}\. \d{1,2}\. \d{1,2}\b"
)
_TIMES: dict[str, tuple[str, ...]] = {
    r"\dT\d": ("T%H:%M", "T%H:%M:%S%.f"),
    r"(?i)\d ?[ap]m\b": (" %I:%M %p", " %I:%M:%S %p", " %I:%M%p", ", %I:%M %p", ", %I:%M:%S %p"),
    r", \d{1,2}:": (", %H:%M", ", %H:%M:%S"),
    r"\d \d{1,2}:": (" %H:%M", " %H:%M:%S%.f"),
}
"""Patterns of cells with a time of day, and the endings of formats to try on a column that has such cells."""
_ZONES: dict[str, str] = {r":\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$": "%#z", r" [+-]\d\d:?\d\d$": " %#z",
                          r" UTC$": " UTC", r" GMT$": " GMT"}  # fmt: skip
_DATES: dict[DateOrder, tuple[str, ...]] = {
    "year_first": (
        "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y-%m", "%Y/%m", "%Y年%m月%d日", "%Y. %m. %d", "%Y. %m. %d.",
        "%Y Q%q",
    ),
    "day_first": (
        "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%d/%m/%y", "%d-%m-%Y", "%d-%m-%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y",
        "%d/%b/%Y", "%d %B %Y", "%d. %B %Y", "%a, %d %b %Y", "%m/%Y", "%m.%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y",
    ),
    "month_first": (
        "%m/%d/%Y", "%m/%d/%y", "%m-%d-%Y", "%m-%d-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%a %b %d %Y",
    ),
}  # fmt: skip
_SAID_ONLY: dict[DateOrder, tuple[str, ...]] = {
    "year_first": ("%y-%m-%d", "%y/%m/%d", "%y.%m.%d"),
    "day_first": (),
    "month_first": ("%m.%d.%Y", "%m.%d.%y"),
}
"""Formats that are rare, and tried only where the user names the order."""
_QUARTERS = tuple((rf"^(?:(\d{{4}})[- ]?Q{q}|Q{q}[- /](\d{{4}}))$", f"$1$2-{3 * q - 2:02d}-01") for q in range(1, 5))
_DAYLESS: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "%Y-%m": (((r"^(\d{4}-\d{2})$", "$1-01"),), "%Y-%m-%d"),
    "%Y/%m": (((r"^(\d{4}/\d{1,2})$", "$1/01"),), "%Y/%m/%d"),
    "%m/%Y": (((r"^(\d{1,2}/\d{4})$", "01/$1"),), "%d/%m/%Y"),
    "%m.%Y": (((r"^(\d{1,2}\.\d{4})$", "01.$1"),), "%d.%m.%Y"),
    "%b %Y": (((r"^(\pL{3} \d{4})$", "01 $1"),), "%d %b %Y"),
    "%B %Y": (((r"^(\pL+ \d{4})$", "01 $1"),), "%d %B %Y"),
    "%b-%Y": (((r"^(\pL{3}-\d{4})$", "01-$1"),), "%d-%b-%Y"),
    "%b-%y": (((r"^(\pL{3}-\d{2})$", "01-$1"),), "%d-%b-%y"),
    "%Y Q%q": (_QUARTERS, "%Y-%m-%d"),
}
"""Formats without a day: patterns of cells with what each is rewritten to, the first day, and the format then."""


@dataclass(frozen=True)
class FoundDates:
    """How a column writes dates.

    Attributes:
        formats: the first that fits a cell reads it.
        n_fit: cells that one of them fits.
        order: of day and month, where the cells tell it.
        is_open: whether day and month could be the other way round in every cell.
    """

    formats: tuple[str, ...]
    n_fit: int
    order: DateOrder | None
    is_open: bool


def seconds_of(text: pl.Series, formats: tuple[str, ...]) -> pl.Series:
    """Convert cells to seconds since 1970 in UTC, as float64; null where no format fits."""
    values = pl.Series([None] * len(text), dtype=pl.Float64) if not formats else _parsed(text, formats[0])
    for format_ in formats[1:]:
        if values.null_count():
            values = pl.select(pl.coalesce(values, _parsed(text, format_))).to_series()
    return values


def find_dates(
    text: pl.Series, said: DateOrder | None, hinted: DateOrder | None, *, least: float = 0.9
) -> FoundDates | None:
    """Find how a column writes dates; None where most of its cells are none.

    Args:
        text: cells, trimmed; null where missing.
        said: the order that the user names; others are not tried.
        hinted: the order that other columns of the file have.
        least: the share of the different cells that must look like dates.
    """
    cells = text.drop_nulls()
    sample = thinned(cells).unique(maintain_order=True).head(SAMPLE)
    sample = sample.filter(~is_no_value(sample))
    if not len(sample) or looks_like_dates(sample).sum() < least * len(sample):
        return None
    formats = _greedy(sample, list(_candidates(sample, said)))
    if not formats:
        return None
    return _settled(cells, formats, said, hinted)


def looks_like_dates(text: pl.Series) -> pl.Series:
    """Tell for each cell whether it looks like a date."""
    return text.str.contains(_LIKELY).fill_null(False)


def _candidates(sample: pl.Series, said: DateOrder | None) -> Iterator[tuple[DateOrder, str]]:
    """Yield the formats worth a try with their order."""
    endings = list(_endings(sample))
    for order, dates in _DATES.items():
        more = _SAID_ONLY[order] if said == order else ()
        is_other = said not in (None, order, "year_first") and order != "year_first"
        for date in (*dates, *more):
            if is_other and "%m" in date and "%d" in date:
                continue  # the name of a month tells the order, and a month alone has none
            yield order, date
            if date not in _DAYLESS:
                for ending in endings:
                    yield order, date + ending


def _endings(sample: pl.Series) -> Iterator[str]:
    """Yield the times of day with their zones that some cells have."""
    zones = ["", *(zone for pattern, zone in _ZONES.items() if sample.str.contains(pattern).any())]
    for pattern, times in _TIMES.items():
        if sample.str.contains(pattern).any():
            yield from (time + zone for time, zone in product(times, zones))


def _greedy(sample: pl.Series, candidates: list[tuple[DateOrder, str]]) -> list[tuple[DateOrder, str]]:
    """Choose formats one by one, each the one that fits most of what is left, never both orders of day and month."""
    chosen: list[tuple[DateOrder, str]] = []
    left = sample
    while len(left) and len(chosen) < MOST_FORMATS:
        fits = [(int(_parsed(left, f).is_not_null().sum()), -i) for i, (_, f) in enumerate(candidates)]
        if not fits or max(fits)[0] == 0:
            break
        order, best = candidates[-max(fits)[1]]
        chosen.append((order, best))
        left = left.filter(_parsed(left, best).is_null())
        candidates = [(o, f) for o, f in candidates if f not in (best, twin(best))]
    return chosen


def _settled(
    cells: pl.Series, formats: list[tuple[DateOrder, str]], said: DateOrder | None, hinted: DateOrder | None
) -> FoundDates:
    """Settle the order of day and month on all cells."""
    settled: list[str] = []
    is_open = False
    order: DateOrder | None = None
    for own_order, format_ in formats:
        other = twin(format_)
        if other is None or said is not None:
            settled.append(format_)
            is_told = own_order != "year_first" and "%m" in format_ and "%d" in format_
            order = order or (own_order if is_told else None)
            continue
        one, two = _parsed(cells, format_), _parsed(cells, other)
        n_one, n_two = len(one) - one.null_count(), len(two) - two.null_count()
        differs = bool((one != two).fill_null(False).any())
        if n_one == n_two and differs:
            is_hinted = hinted in ("day_first", "month_first")
            is_open = is_open or not is_hinted
            settled.append(format_ if (hinted or "day_first") == own_order else other)
        else:
            settled.append(format_ if n_one >= n_two else other)
            order = _order_of(settled[-1]) if n_one != n_two else order
    n_fit = len(cells) - seconds_of(cells, tuple(settled)).null_count()
    return FoundDates(tuple(settled), n_fit, order, is_open)


def _order_of(format_: str) -> DateOrder:
    return "day_first" if format_.index("%d") < format_.index("%m") else "month_first"


def twin(format_: str) -> str | None:
    """Give the format with day and month the other way round; None where that is no usual format."""
    for one, two in (("%d/%m/", "%m/%d/"), ("%d-%m-", "%m-%d-")):
        if format_.startswith(one):
            return format_.replace(one, two)
        if format_.startswith(two):
            return format_.replace(two, one)
    return None


def _parsed(text: pl.Series, format_: str) -> pl.Series:
    """Parse cells under one format, to seconds; years outside 1000 to 9999 are none."""
    if format_ in _DAYLESS:
        text, format_ = _with_day(text, format_)
    if ":" not in format_:
        days = text.str.to_date(format_, strict=False, exact=True).cast(pl.Datetime("us"))
    elif "%#z" in format_:
        days = text.str.to_datetime(format_, strict=False, exact=True, time_unit="us", time_zone="UTC")
    else:
        days = text.str.to_datetime(format_, strict=False, exact=True, time_unit="us")
    is_year = days.dt.year().is_between(1000, 9999)
    ticks = pl.select(pl.when(pl.lit(is_year)).then(pl.lit(days.dt.epoch("us"))).otherwise(None)).to_series()
    seconds = ticks.cast(pl.Float64).fill_null(np.nan).to_numpy() / 1e6  # polars would multiply by 1e-6, inexactly
    return pl.Series(text.name, seconds).fill_nan(None)


def _with_day(text: pl.Series, format_: str) -> tuple[pl.Series, str]:
    """Add the first day to cells of months or quarters; null where a cell is none. The format then is returned, too."""
    patterns, full = _DAYLESS[format_]
    is_own = text.str.contains("|".join(pattern for pattern, _ in patterns))
    for pattern, full_cell in patterns:
        text = text.str.replace(pattern, full_cell.replace("$1", "${1}").replace("$2", "${2}"))
    return pl.select(pl.when(pl.lit(is_own)).then(pl.lit(text)).otherwise(None)).to_series(), full
