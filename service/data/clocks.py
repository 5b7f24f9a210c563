"""Read times of day and durations, as `7:30`, `7:30 PM`, `03:25.5` or `1 days 02:03:04`, as seconds."""

from __future__ import annotations

import polars as pl

_CLOCK = (
    r"^(?:(?P<days>-?\d+) days?,? \+?)?(?P<sign>-)?(?P<hours>\d{1,4}):(?P<minutes>[0-5]\d)"
    r"(?::(?P<seconds>[0-5]\d(?:[.,]\d+)?))?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?$"
)
_LAP = r"^(?P<sign>-)?(?P<minutes>\d{1,4}):(?P<seconds>[0-5]\d[.,]\d+)$"
"""Minutes and seconds, told by the fraction."""


def clock_seconds(text: pl.Series) -> pl.Series:
    """Convert cells to seconds as float64; null where a cell is no time of day and no duration."""
    whole, lap = (text.str.extract_groups(pattern).struct.unnest() for pattern in (_CLOCK, _LAP))
    hours = _number(whole["hours"])
    half = whole["half"].str.to_lowercase()
    is_hour = half.is_null() | hours.is_between(1, 12)
    hours = pl.select(
        pl.when(pl.lit(half).is_null()).then(pl.lit(hours)).otherwise(pl.lit(hours) % 12 + 12 * (pl.lit(half) == "p"))
    ).to_series()
    time = hours * 3600 + _number(whole["minutes"]) * 60 + _number(whole["seconds"]).fill_null(0.0)
    time = _number(whole["days"]).fill_null(0.0) * 86_400 + _signed(time, whole["sign"])
    time = pl.select(pl.when(pl.lit(is_hour)).then(pl.lit(time)).otherwise(None)).to_series()
    laps = _signed(_number(lap["minutes"]) * 60 + _number(lap["seconds"]), lap["sign"])
    return pl.select(pl.coalesce(pl.lit(time), pl.lit(laps))).to_series().alias(text.name)


def _number(text: pl.Series) -> pl.Series:
    return text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)


def _signed(values: pl.Series, sign: pl.Series) -> pl.Series:
    return values * pl.select(pl.when(pl.lit(sign).is_not_null()).then(-1.0).otherwise(1.0)).to_series()
