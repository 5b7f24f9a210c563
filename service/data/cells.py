"""Convert the text cells of a column to canonical values by the column's reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from foldstep.service.contract.columns import (
    CategoryColumn,
    ColumnValues,
    DateColumn,
    NumberColumn,
    category_column,
)
from foldstep.service.contract.reading import ColumnReading, missing_numbers
from foldstep.service.data.dates import seconds_of
from foldstep.service.data.numbers import to_numbers

MOST_EXAMPLES = 3
_LONGEST_WORD = 40


@dataclass(frozen=True)
class Unfit:
    """The cells of a column that do not fit its reading; they count as missing.

    Attributes:
        count: how many there are.
        examples: some of them, different ones, the commonest first.
        first_row: the row (from 0) of the first.
        last_row: the row of the last.
    """

    count: int
    examples: tuple[str, ...]
    first_row: int
    last_row: int

    def __str__(self) -> str:
        shown = ", ".join(repr(cell) for cell in self.examples)
        return f"{self.count} cell{'s' if self.count > 1 else ''} ({shown})"


def cleaned(text: pl.Series, missing: Sequence[str]) -> pl.Series:
    """Trim cells, and turn words for missing values into null.

    Args:
        text: cells as they are in the file.
        missing: words in lower case.
    """
    trimmed = text.str.strip_chars()
    numbers = trimmed.cast(pl.Float64, strict=False)
    is_odd = numbers.is_null() | numbers.is_nan()
    if said := missing_numbers(missing):
        is_odd |= numbers.is_in(said)
    odd = is_odd.arg_true()  # no other cell can be a word for a missing value
    rows = odd.filter(trimmed.gather(odd).str.to_lowercase().is_in(list(missing)).fill_null(False))
    return trimmed.scatter(rows, None) if len(rows) else trimmed


def canonical(
    text: pl.Series, reading: ColumnReading, values: pl.Series | None = None
) -> tuple[ColumnValues, Unfit | None]:
    """Convert cleaned cells to canonical values; those that do not fit the reading are missing, and told.

    Args:
        text: the cells.
        reading: of the column.
        values: of `values_of`, where they are known.
    """
    if reading.kind == "category":
        return categories(text if reading.labels is None else _as_written(text, reading.labels)), None
    values = values_of(text, reading) if values is None else values
    unfit = unfit_cells(text, values)
    numbers = values.fill_null(np.nan).to_numpy().astype(np.float64, copy=False)
    return (NumberColumn(numbers) if reading.kind == "number" else DateColumn(numbers)), unfit


def values_of(text: pl.Series, reading: ColumnReading) -> pl.Series:
    """Convert cleaned cells to float64 numbers, or seconds since 1970, by a reading of numbers or dates."""
    return to_numbers(text, reading) if reading.kind == "number" else seconds_of(text, reading.formats)


def unfit_cells(text: pl.Series, values: pl.Series) -> Unfit | None:
    """Find the cells that are there but have no value."""
    if values.null_count() == text.null_count():
        return None
    rows = (values.is_null() & text.is_not_null()).arg_true()
    cells = text.gather(rows)
    shown = cells.value_counts(sort=True)[text.name if text.name else cells.name].head(MOST_EXAMPLES).to_list()
    examples = tuple(cell[:_LONGEST_WORD] for cell in sorted(shown))
    return Unfit(len(rows), examples, int(rows[0]), int(rows[-1]))


def _as_written(text: pl.Series, labels: tuple[str, str]) -> pl.Series:
    """Map the words of true and false, in any case, and 0 and 1, to the two labels; other cells stay as they are."""
    false, true = labels
    lower = text.str.to_lowercase()
    is_false = lower.is_in([false.lower(), "false", "0", "0.0"]).fill_null(False)
    is_true = lower.is_in([true.lower(), "true", "1", "1.0"]).fill_null(False)
    return pl.select(
        pl.when(pl.lit(is_false)).then(pl.lit(false)).when(pl.lit(is_true)).then(pl.lit(true)).otherwise(pl.lit(text))
    ).to_series()


def categories(text: pl.Series) -> CategoryColumn:
    """Encode cells as categories."""
    labels = text.drop_nulls().unique(maintain_order=True)
    codes = text.cast(pl.Enum(labels)).to_physical() if len(labels) else pl.Series([None] * len(text), dtype=pl.UInt32)
    return category_column(codes.cast(pl.Int64).fill_null(-1).to_numpy(), labels.to_list())
