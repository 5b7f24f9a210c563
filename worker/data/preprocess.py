"""Preprocessing of a table's features into the matrix a network sees; fitted on training rows alone.

Numbers: missing and infinite values become the median, with a flag column where the training part has any;
then the scaler. Dates: their numbers (`features.DATE_PARTS`), each treated as a number, with one flag for all. Text:
one column for each frequent category, one for the rare ones together, one for missing; or, for a column of many
categories, one column of codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.preparation import Preparation
from foldstep.models.columns import InputColumns
from foldstep.service.contract.columns import CategoryColumn
from foldstep.service.contract.features import is_usable
from foldstep.worker.data.codings import CategoryCoding, NumberCoding, Rows
from foldstep.worker.data.load import Table
from foldstep.worker.data.scalers import SCALERS, Matrix, State

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_COUNTED_ROWS = 10_000
"""Training rows, at equal distances, on which the different values of a column are counted where it has more."""


@dataclass(frozen=True)
class Preprocessor:
    """A fitted preprocessing; immutable, and the same bits after a round trip through JSON.

    Attributes:
        scaler: name in `SCALERS`.
        numbers: the numeric features and the numbers of dates, in the table's order; columns without a usable training
            value are left out.
        categories: the text features, in the table's order; those with codes come after the others in the matrix.
        scaling: the scaler's state.
        n_values: different values of each number in the training part; none where an earlier version fitted it.
    """

    scaler: str
    numbers: tuple[NumberCoding, ...]
    categories: tuple[CategoryCoding, ...]
    scaling: State
    n_values: tuple[int, ...] = ()

    @classmethod
    def fit(
        cls,
        table: Table,
        rows: Rows,
        features: Sequence[str],
        how: Preparation,
        noise: np.random.Generator | None = None,
    ) -> Preprocessor:
        """Fit on the given rows of the given columns; no other row is looked at.

        Args:
            table: the data.
            rows: the training part.
            features: the columns.
            how: what is to be made of them.
            noise: draws the noise of `how.quantile_noise`, if there is any.

        Raises:
            KeyError: an unknown column or scaler.
        """
        numbers, categories = [], []
        limits = {"max_one_hot": how.max_one_hot, "min_count": how.category_min_count}
        for name in features:
            column = table.columns[name]
            if isinstance(column, CategoryColumn):
                categories.append(CategoryCoding.fit(name, column, rows, **limits))
            else:
                numbers += NumberCoding.fit(name, column, rows)
        values, _ = _imputed(table, rows, numbers)
        n_values = _count_values(values)
        if how.quantile_noise and noise is not None:
            values = values + how.quantile_noise * values.std(axis=0) * noise.standard_normal(values.shape)
        return cls(how.scaler, tuple(numbers), tuple(categories), SCALERS[how.scaler].fit(values), n_values)

    @property
    def columns(self) -> InputColumns:
        """The columns of the matrix that `transform` makes."""
        return InputColumns(
            n_values=self.n_values or (0,) * len(self.numbers),
            flags=tuple(i for i, coding in enumerate(self.numbers) if coding.flagged),
            one_hot=tuple(c.n_units for c in self.categories if not c.is_coded),
            codes=tuple(c.n_units for c in self.categories if c.is_coded),
        )

    def transform(self, table: Table, rows: Rows) -> npt.NDArray[np.float32]:
        """Make the matrix of the given rows, shape (rows, inputs): scaled numbers, missing flags, categories.

        Always finite: what float32 cannot hold is clipped to its greatest value.

        Raises:
            KeyError: the table lacks a column.
            TypeError: a column has the other kind than when this was fitted.
        """
        values, is_missing = _imputed(table, rows, self.numbers)
        scaled = SCALERS[self.scaler].apply(values, self.scaling)
        parts = [np.clip(scaled, -_FLOAT32_MAX, _FLOAT32_MAX).astype(np.float32)]
        parts.append(is_missing[:, [c.flagged for c in self.numbers]].astype(np.float32))
        in_order = sorted(self.categories, key=lambda c: c.is_coded)
        parts += [coding.encode(table.columns[coding.name], rows) for coding in in_order]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; floats keep every bit."""
        return {
            "scaler": self.scaler,
            "numbers": [[c.name, c.median, c.flagged, c.part] for c in self.numbers],
            "categories": [c.to_json() for c in self.categories],
            "scaling": {name: array.tolist() for name, array in self.scaling.items()},
            "n_values": list(self.n_values),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Preprocessor:
        """Read what `to_json` wrote."""
        return cls(
            scaler=raw["scaler"],
            numbers=tuple(
                NumberCoding(n, float(median), flagged, *part) for n, median, flagged, *part in raw["numbers"]
            ),
            categories=tuple(CategoryCoding.from_json(*entries) for entries in raw["categories"]),
            scaling={name: np.array(values, dtype=np.float64) for name, values in raw["scaling"].items()},
            n_values=tuple(raw.get("n_values", ())),
        )


def _imputed(table: Table, rows: Rows, codings: Sequence[NumberCoding]) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Fill missing values with the medians; the values and where they were missing, both (rows, numeric columns)."""
    values = np.empty((len(rows), len(codings)))
    is_missing = np.empty(values.shape, dtype=bool)
    for j, coding in enumerate(codings):
        own = coding.values(table.columns[coding.name], rows)
        is_missing[:, j] = ~is_usable(own)
        values[:, j] = np.where(is_missing[:, j], coding.median, own)
    return values, is_missing


def _count_values(values: Matrix) -> tuple[int, ...]:
    """Count the different values of each column, (rows, columns)."""
    some = values[np.linspace(0, len(values) - 1, min(len(values), _COUNTED_ROWS)).astype(np.int64)]
    return tuple(len(np.unique(column)) for column in some.T)
