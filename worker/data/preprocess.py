"""Preprocessing of a table's features into the matrix a network sees; fitted on training rows alone.

Numbers: missing and infinite values become the median, with a flag column where the training part has any;
then the scaler. Dates: their numbers (`features.DATE_PARTS`), each treated as a number, with one flag for all. Text:
one column for each frequent category, one for the rare ones together, one for missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn, NumberColumn
from foldstep.service.contract.features import date_part, date_parts, is_usable, kept_categories
from foldstep.worker.data.load import Table
from foldstep.worker.data.scalers import SCALERS, Matrix, State

Rows: TypeAlias = npt.NDArray[np.int64]

_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class NumberCoding:
    """How a numeric column is encoded, or one number of a column of dates.

    Attributes:
        name: the column.
        median: of the training rows' usable values; what missing ones become.
        flagged: whether a column says where the value was missing.
        part: the number of a date, see `features.DATE_PARTS`; None for a column of numbers.
    """

    name: str
    median: float
    flagged: bool
    part: str | None = None

    def values(self, column: ColumnValues, rows: Rows) -> npt.NDArray[np.float64]:
        """Take the numbers of some rows, shape (rows,); NaN where missing.

        Raises:
            TypeError: the column is of another kind than when this was fitted.
        """
        expected = NumberColumn if self.part is None else DateColumn
        if not isinstance(column, expected):
            what = "numbers" if self.part is None else "dates"
            raise TypeError(f"expected {what} in the column {self.name!r}, however: it is not")
        return column.values[rows] if self.part is None else date_part(column.values[rows], self.part)


@dataclass(frozen=True)
class CategoryCoding:
    """How a text column is encoded.

    Attributes:
        name: the column.
        labels: categories with a unit of their own, the most frequent first.
        has_other: whether rare and unseen categories share a unit; else unseen ones are all zeros.
        has_missing: whether missing values have a unit; else they are encoded like unseen ones.
    """

    name: str
    labels: tuple[str, ...]
    has_other: bool
    has_missing: bool

    @property
    def n_units(self) -> int:
        """Columns that this one becomes."""
        return len(self.labels) + self.has_other + self.has_missing

    def units(self, column: CategoryColumn, rows: Rows) -> npt.NDArray[np.int64]:
        """Find the unit (from 0) that is 1 for each row, shape (rows,); `n_units` if none is."""
        own = {label: i for i, label in enumerate(self.labels)}
        other = len(self.labels) if self.has_other else self.n_units
        missing = self.n_units - 1 if self.has_missing else other
        unit_of_code = [own.get(label, other) for label in column.labels]
        return np.array([*unit_of_code, missing], dtype=np.int64)[column.codes[rows]]


@dataclass(frozen=True)
class Preprocessor:
    """A fitted preprocessing; immutable, and the same bits after a round trip through JSON.

    Attributes:
        scaler: name in `SCALERS`.
        numbers: the numeric features and the numbers of dates, in the table's order; columns without a usable training
            value are left out.
        categories: the text features, in the table's order.
        scaling: the scaler's state.
    """

    scaler: str
    numbers: tuple[NumberCoding, ...]
    categories: tuple[CategoryCoding, ...]
    scaling: State

    @classmethod
    def fit(cls, table: Table, rows: Rows, features: Sequence[str], scaler: str) -> Preprocessor:
        """Fit on the given rows of the given columns; no other row is looked at.

        Raises:
            KeyError: an unknown column or scaler.
        """
        numbers, categories = [], []
        for name in features:
            column = table.columns[name]
            if isinstance(column, CategoryColumn):
                categories.append(_fit_category(name, column, rows))
            else:
                numbers += _fit_numbers(name, column, rows)
        values, _ = _imputed(table, rows, numbers)
        return cls(scaler, tuple(numbers), tuple(categories), SCALERS[scaler].fit(values))

    def transform(self, table: Table, rows: Rows) -> npt.NDArray[np.float32]:
        """Make the matrix of the given rows: scaled numbers, missing flags, one-hot categories; shape (rows, inputs).

        Always finite: what float32 cannot hold is clipped to its greatest value.

        Raises:
            KeyError: the table lacks a column.
            TypeError: a column has the other kind than when this was fitted.
        """
        values, is_missing = _imputed(table, rows, self.numbers)
        scaled = SCALERS[self.scaler].apply(values, self.scaling)
        parts = [np.clip(scaled, -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32)]
        parts.append(is_missing[:, [c.flagged for c in self.numbers]].astype(np.float32))
        parts += [_one_hot(coding, table.columns[coding.name], rows) for coding in self.categories]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; floats keep every bit."""
        return {
            "scaler": self.scaler,
            "numbers": [[c.name, c.median, c.flagged, c.part] for c in self.numbers],
            "categories": [[c.name, list(c.labels), c.has_other, c.has_missing] for c in self.categories],
            "scaling": {name: array.tolist() for name, array in self.scaling.items()},
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Preprocessor:
        """Read what `to_json` wrote."""
        return cls(
            scaler=raw["scaler"],
            numbers=tuple(
                NumberCoding(n, float(median), flagged, *part) for n, median, flagged, *part in raw["numbers"]
            ),
            categories=tuple(CategoryCoding(n, tuple(labels), *has) for n, labels, *has in raw["categories"]),
            scaling={name: np.array(values, dtype=np.float64) for name, values in raw["scaling"].items()},
        )


def _fit_numbers(name: str, column: NumberColumn | DateColumn, rows: Rows) -> list[NumberCoding]:
    """Fit a column of numbers, or each number of a column of dates; the first one has the flag."""
    values = column.values[rows]
    usable = is_usable(values)
    if not usable.any():
        return []
    flagged, present = not usable.all(), values[usable]
    if isinstance(column, NumberColumn):
        return [NumberCoding(name, float(np.median(present)), flagged)]
    parts = date_parts(present)
    return [NumberCoding(name, float(np.median(date_part(present, p))), flagged and p == parts[0], p) for p in parts]


def _fit_category(name: str, column: CategoryColumn, rows: Rows) -> CategoryCoding:
    codes = column.codes[rows]
    kept, has_other = kept_categories(column, codes)
    labels = tuple(column.labels[code] for code in kept)
    return CategoryCoding(name, labels, has_other=has_other, has_missing=bool((codes < 0).any()))


def _imputed(table: Table, rows: Rows, codings: Sequence[NumberCoding]) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Fill missing values with the medians; the values and where they were missing, both (rows, numeric columns)."""
    values = np.empty((len(rows), len(codings)))
    is_missing = np.empty(values.shape, dtype=bool)
    for j, coding in enumerate(codings):
        own = coding.values(table.columns[coding.name], rows)
        is_missing[:, j] = ~is_usable(own)
        values[:, j] = np.where(is_missing[:, j], coding.median, own)
    return values, is_missing


def _one_hot(coding: CategoryCoding, column: ColumnValues, rows: Rows) -> npt.NDArray[np.float32]:
    if not isinstance(column, CategoryColumn):
        raise TypeError(f"expected text in the column {coding.name!r}, however: it is numbers")
    rows_and_none = np.zeros((len(rows), coding.n_units + 1), dtype=np.float32)
    rows_and_none[np.arange(len(rows)), coding.units(column, rows)] = 1.0
    return rows_and_none[:, : coding.n_units]
