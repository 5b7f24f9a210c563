"""How each column of a table becomes columns of a network's matrix: numbers, one-hot groups, codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.columns import MISSING, N_SPECIAL, RARE, UNKNOWN
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn, NumberColumn
from foldstep.service.contract.features import date_part, date_parts, is_usable, kept_categories

Rows: TypeAlias = npt.NDArray[np.int64]


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

    @classmethod
    def fit(cls, name: str, column: NumberColumn | DateColumn, rows: Rows) -> list[NumberCoding]:
        """Fit a column of numbers, or each number of a column of dates; the first one has the flag."""
        values = column.values[rows]
        usable = is_usable(values)
        if not usable.any():
            return []
        flagged, present = not usable.all(), values[usable]
        if isinstance(column, NumberColumn):
            return [cls(name, float(np.median(present)), flagged)]
        parts = date_parts(present)
        return [cls(name, float(np.median(date_part(present, p))), flagged and p == parts[0], p) for p in parts]

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
    """How a text column is encoded: as one-hot columns, or as one column of codes.

    Attributes:
        name: the column.
        labels: categories told apart, the most frequent first.
        has_other: whether rare categories share a unit; a column of codes always has a code for them.
        has_missing: whether missing values have a unit; else they are encoded like unseen ones.
        rare: the rare categories, so that unseen ones are told from them; None where unseen ones count as rare.
        is_coded: whether it is one column of codes, see `InputColumns.codes`.
    """

    name: str
    labels: tuple[str, ...]
    has_other: bool
    has_missing: bool
    rare: tuple[str, ...] | None = None
    is_coded: bool = False

    @classmethod
    def fit(
        cls, name: str, column: CategoryColumn, rows: Rows, *, max_one_hot: int = 0, min_count: int = 0
    ) -> CategoryCoding:
        """Fit a column.

        Args:
            name: of the column.
            column: its values.
            rows: the rows of the training part.
            max_one_hot: with more categories that are not rare it becomes codes; 0 for never.
            min_count: rows that a category needs not to be rare; 0 for the rule of `kept_categories`.
        """
        codes = column.codes[rows]
        has_missing = bool((codes < 0).any())
        told = kept_categories(column, codes, min_count, most=len(column.labels))[0] if max_one_hot else []
        is_coded = len(told) > max_one_hot
        kept = told if is_coded else kept_categories(column, codes, min_count)[0]
        own = set(kept)
        rare = [code for code in np.unique(codes[codes >= 0]).tolist() if code not in own]
        named = tuple(column.labels[code] for code in rare) if is_coded or min_count else None
        return cls(name, tuple(column.labels[code] for code in kept), bool(rare), has_missing, named, is_coded)

    @property
    def n_units(self) -> int:
        """Units of one-hot columns, or different codes."""
        return N_SPECIAL + len(self.labels) if self.is_coded else len(self.labels) + self.has_other + self.has_missing

    def encode(self, column: ColumnValues, rows: Rows) -> npt.NDArray[np.float32]:
        """Encode some rows, shape (rows, columns that this one becomes).

        Raises:
            TypeError: the column is of another kind than when this was fitted.
        """
        if not isinstance(column, CategoryColumn):
            raise TypeError(f"expected text in the column {self.name!r}, however: it is numbers")
        units = self.units(column, rows)
        if self.is_coded:
            return units.astype(np.float32)[:, None]
        rows_and_none = np.zeros((len(rows), self.n_units + 1), dtype=np.float32)
        rows_and_none[np.arange(len(rows)), units] = 1.0
        return rows_and_none[:, : self.n_units]

    def units(self, column: CategoryColumn, rows: Rows) -> npt.NDArray[np.int64]:
        """Find the code of each row, or the unit (from 0) that is 1, shape (rows,); `n_units` if no unit is."""
        own, unknown, missing = self.unit_of_text
        unit_of_code = [own.get(label, unknown) for label in column.labels]
        return np.array([*unit_of_code, missing], dtype=np.int64)[column.codes[rows]]

    @property
    def unit_of_text(self) -> tuple[dict[str, int], int, int]:
        """The unit or code of each category of the training part, of every other one, and of no value."""
        unknown, missing, rare = self._special
        own = dict.fromkeys(self.rare or (), rare)
        first = N_SPECIAL if self.is_coded else 0
        return own | {label: first + i for i, label in enumerate(self.labels)}, unknown, missing

    @property
    def _special(self) -> tuple[int, int, int]:
        """The units of unseen, missing and rare values."""
        if self.is_coded:
            return UNKNOWN, MISSING, RARE
        rare = len(self.labels) if self.has_other else self.n_units
        unknown = rare if self.rare is None else self.n_units
        return unknown, self.n_units - 1 if self.has_missing else unknown, rare

    def to_json(self) -> list[object]:
        """Convert to JSON values, a list; one of an earlier version has the first four entries alone."""
        first = [self.name, list(self.labels), self.has_other, self.has_missing]
        return first if self.rare is None else [*first, list(self.rare), self.is_coded]

    @classmethod
    def from_json(
        cls, name: str, labels: list[str], has_other: bool, has_missing: bool, *then: object
    ) -> CategoryCoding:
        """Read what `to_json` wrote, entry by entry."""
        if not then:
            return cls(name, tuple(labels), has_other, has_missing)
        rare, is_coded = then
        assert isinstance(rare, list)
        return cls(name, tuple(labels), has_other, has_missing, tuple(rare), bool(is_coded))
