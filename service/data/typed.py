"""Columns of a Parquet file, which have types: canonical values, or text for what is decided as text is."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from foldstep.service.contract.reading import Kind
from foldstep.service.data.kept_text import EXACT
from foldstep.service.data.sources import refusal

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def unpacked(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Decode a dictionary, and refuse types that no feature or target can have.

    Raises:
        DatasetUnreadable: `unsupported_column_type`.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if not (_is_text(kind) or kind_of(kind) is not None or pa.types.is_boolean(kind)):
        raise refusal(
            "unsupported_column_type",
            expected="columns of numbers, text, booleans, dates or times of day and date",
            got=f"{name} of type {kind}",
            hint=f"convert the column, or leave it out with data.types: {{{name}: ignore}}",
        )
    return column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def kind_of(kind: pa.DataType) -> Kind | None:
    """Tell what a column's type says it holds; None for text and booleans, whose values are looked at."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "date"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_time(kind) or pa.types.is_duration(kind) or pa.types.is_null(kind):
        return "number"
    return None


def is_rounded(column: pa.ChunkedArray) -> bool:
    """Tell whether float64 would change some whole number of the column."""
    if not pa.types.is_integer(column.type) or column.null_count == len(column):
        return False
    ends = pc.min_max(column)
    if max(abs(ends["min"].as_py()), abs(ends["max"].as_py())) < EXACT:
        return False
    there = column.drop_null()
    return not pc.all(pc.equal(there.cast(pa.float64(), safe=False).cast(pa.decimal128(38, 0), safe=False),
                               there.cast(pa.decimal128(38, 0)))).as_py()  # fmt: skip


def numbers(column: pa.ChunkedArray) -> pl.Series:
    """Convert numbers, booleans (0 and 1), times of day and durations (seconds) to float64."""
    kind = column.type
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        ticks = column.cast(pa.int32()).cast(pa.int64()) if pa.types.is_time32(kind) else column.cast(pa.int64())
        column = pc.divide(ticks.cast(pa.float64(), safe=False), float(_TICKS[kind.unit]))
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    values = pl.Series(column.cast(pa.float64(), safe=False), dtype=pl.Float64)
    return values.fill_nan(None)


def seconds(column: pa.ChunkedArray) -> pl.Series:
    """Convert dates to seconds since 1970 in UTC, as float64."""
    times = column if pa.types.is_timestamp(column.type) else column.cast(pa.timestamp("us"))
    ticks, unit = times.cast(pa.int64()), times.type.unit
    if unit == "ns":
        ticks, unit = pc.divide(ticks, 1000), "us"
    return pl.Series(pc.divide(ticks.cast(pa.float64(), safe=False), float(_TICKS[unit])), dtype=pl.Float64)


def as_text(column: pa.ChunkedArray) -> pl.Series:
    """Write values as text: whole numbers without a point, dates as ISO 8601."""
    kind = column.type
    if _is_text(kind) or pa.types.is_null(kind):
        return pl.Series(column.cast(pa.string()), dtype=pl.String)
    if pa.types.is_floating(kind):
        text = pl.Series(column.cast(pa.float64()), dtype=pl.Float64).cast(pl.String)
        return text.str.replace(r"\.0$", "")
    return pl.Series(column.cast(pa.string()), dtype=pl.String)
