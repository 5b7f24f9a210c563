"""What a search's user is told of categories that `category_min_count` makes rare: nothing is merged in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.draws import Rows
from foldstep.service.contract.reach import combinations
from foldstep.service.contract.space import Space
from foldstep.service.data.target_report import column_in

MOST_COLUMNS = 3
"""Columns that one note names; of more the number is said."""


def min_counts_in(space: Space) -> list[int]:
    """List the values of `category_min_count` that a space names, in their order; of a range its two ends."""
    name = "category_min_count"
    found = {params[name] for params in combinations(space, [name]) if name in params}
    return sorted(int(value) for value in found if isinstance(value, int) and value > 0)


def rare_notes(min_counts: Sequence[int], features: Sequence[str], rows: Rows, canonical_file: Path) -> Iterator[str]:
    """Say for each least count how many categories of which columns are merged.

    Args:
        min_counts: values of `category_min_count`.
        features: the inputs of networks that are categories.
        rows: the training part of a fold.
        canonical_file: the data.
    """
    if not min_counts:
        return
    read = partial(column_in, pq.ParquetFile(canonical_file))
    counts = {name: _counts(read(name), rows) for name in features}
    for least in min_counts:
        if told := _told(counts, least):
            yield (
                f"With category_min_count {least:,}, {told} are rare in the training part of the first fold: those of "
                "one column are merged."
            )


def _counts(column: ColumnValues, rows: Rows) -> np.ndarray:
    """Count the rows of each category that some rows have."""
    assert isinstance(column, CategoryColumn)
    codes = column.codes[rows]
    counts = np.bincount(codes[codes >= 0])
    return counts[counts > 0]


def _told(counts: Mapping[str, np.ndarray], least: int) -> str:
    """Name the columns of which at least two categories are rare, those with the most first; empty for none."""
    rare = {name: found[found < least] for name, found in counts.items()}
    merged = sorted((name for name in rare if len(rare[name]) > 1), key=lambda name: -len(rare[name]))
    said = [
        f"{len(rare[name]):,} of {len(counts[name]):,} categories of {name} (in {int(rare[name].sum()):,} rows)"
        for name in merged[:MOST_COLUMNS]
    ]
    n_more = len(merged) - len(said)
    return " and ".join([*said, *([f"some of {n_more:,} more columns"] if n_more else [])])
