"""A table's columns in canonical form, and the fingerprint over them.

Master and worker both need these: the master to identify a data set, the worker to check that it trains on
exactly that data. They need numpy only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

_FORMAT = b"foldstep columns 1\n"


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    Attributes:
        values: shape (rows,), float64; NaN where a value is missing.
    """

    values: npt.NDArray[np.float64]


@dataclass(frozen=True)
class CategoryColumn:
    """A column of text.

    Attributes:
        codes: shape (rows,), int32; index into `labels`, -1 where a value is missing.
        labels: the different texts, each occurring at least once, sorted by code point.
    """

    codes: npt.NDArray[np.int32]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class DateColumn:
    """A column of dates, with or without a time of day.

    Attributes:
        values: shape (rows,), float64 seconds since 1970 in UTC; NaN where a value is missing.
    """

    values: npt.NDArray[np.float64]


ColumnValues: TypeAlias = NumberColumn | CategoryColumn | DateColumn


Label: TypeAlias = str | int | float
"""A class of the target, as users write it."""


def class_labels(column: ColumnValues) -> tuple[Label, ...]:
    """List the classes of a target, sorted; whole numbers as `int`."""
    if isinstance(column, CategoryColumn):
        return column.labels
    present = np.unique(column.values[~np.isnan(column.values)])
    return tuple(int(v) if v.is_integer() else v for v in map(float, present))


def category_column(codes: npt.NDArray[np.integer[Any]], labels: Sequence[str]) -> CategoryColumn:
    """Build the canonical column from codes (indices into `labels`, -1 for missing); unused labels are dropped."""
    used = np.zeros(len(labels), dtype=bool)
    used[codes[codes >= 0]] = True
    order = sorted((i for i in range(len(labels)) if used[i]), key=lambda i: labels[i])
    new_code = np.full(len(labels) + 1, -1, dtype=np.int32)  # code -1 reads the last entry, which stays -1
    new_code[order] = np.arange(len(order), dtype=np.int32)
    return CategoryColumn(codes=new_code[codes], labels=tuple(labels[i] for i in order))


def column_from_arrow(array: Any) -> ColumnValues:
    """Convert an Arrow array of doubles, strings or timestamps to a canonical column (pyarrow is not imported here)."""
    kind = str(array.type)
    if kind == "double":
        return NumberColumn(np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.float64))
    if kind == "timestamp[us]":
        ticks = np.asarray(array.to_numpy(zero_copy_only=False))
        return DateColumn(np.where(np.isnat(ticks), np.nan, ticks.astype(np.int64) / 1e6))
    encoded = array.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return category_column(codes, encoded.dictionary.to_pylist())


def fingerprint(columns: Mapping[str, ColumnValues]) -> str:
    """Compute the SHA-256, in hex, over names, kinds and values, in the columns' order.

    Every NaN counts as the same missing value, and -0 as 0, so equal tables have equal fingerprints.
    """
    digest = hashlib.sha256(_FORMAT)
    for name, column in columns.items():
        if isinstance(column, NumberColumn | DateColumn):
            header: list[Any] = [name, "number" if isinstance(column, NumberColumn) else "date"]
            values = np.where(np.isnan(column.values), np.nan, column.values + 0.0).astype("<f8")
        else:
            header = [name, "category", *column.labels]
            values = column.codes.astype("<i4")
        digest.update(json.dumps([len(values), *header]).encode() + b"\n")
        digest.update(values.tobytes())
    return digest.hexdigest()
