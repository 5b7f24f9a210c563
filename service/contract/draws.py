"""Draw the folds of a k-fold cross-validation, row for row those of scikit-learn's splitters.

scikit-learn takes a second to import, in which a worker could train: so only folds of whole groups are drawn by it. The
tests compare every other kind with it. May import numpy alone; knows nothing of columns, specs or seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]
Fold: TypeAlias = tuple[Rows, Rows]
"""Positions of the training and of the validation rows, each in ascending order."""


def shuffled_folds(n_rows: int, k: int, state: np.random.RandomState) -> Iterator[Fold]:
    """Yield k folds of shuffled rows, as equal in size as can be: those of `KFold`.

    Raises:
        ValueError: there are fewer rows than folds.
    """
    if n_rows < k:
        raise ValueError(f"{k} folds need as many rows, however: {n_rows}")
    order = np.arange(n_rows)
    state.shuffle(order)
    fold_of = np.empty(n_rows, np.int64)
    for fold, rows in enumerate(np.array_split(order, k)):
        fold_of[rows] = fold
    yield from _folds(fold_of, k)


def stratified_folds(labels: npt.NDArray[np.int64], k: int, state: np.random.RandomState) -> Iterator[Fold]:
    """Yield k folds with the classes in proportion: those of `StratifiedKFold`.

    Args:
        labels: (rows,) the class of each row, as any whole numbers.
        k: number of folds.
        state: shuffles the folds within each class, in the order in which the classes first occur.

    Raises:
        ValueError: no class has as many rows as there are folds.
    """
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    if counts.max(initial=0) < k:
        raise ValueError(f"{k} folds need a class of as many rows, however: {counts.max(initial=0)}")
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))  # of each class, by first occurrence
    by_class = np.argsort(place[inverse], kind="stable")
    sizes = counts[np.argsort(first)]
    ends = np.cumsum(sizes)
    fold_of = np.empty(len(labels), np.int64)
    for size, end in zip(sizes.tolist(), ends.tolist(), strict=True):
        # sorted by class, every k-th row is a fold's: fold i has the places i, i + k, … of this class's stretch
        allotted = np.sort(np.arange(end - size, end) % k)
        state.shuffle(allotted)
        fold_of[by_class[end - size : end]] = allotted
    yield from _folds(fold_of, k)


def folds_in_time(n_rows: int, k: int) -> Iterator[Fold]:
    """Yield k folds of ordered rows, each validated on the rows that follow its own: those of `TimeSeriesSplit`.

    Raises:
        ValueError: there are not more rows than folds.
    """
    if n_rows <= k:
        raise ValueError(f"{k} folds in time need more rows than folds, however: {n_rows}")
    rows, size = np.arange(n_rows), n_rows // (k + 1)
    for start in range(n_rows - k * size, n_rows, size):
        yield rows[:start], rows[start : start + size]


def _folds(fold_of: Rows, k: int) -> Iterator[Fold]:
    for fold in range(k):
        is_valid = fold_of == fold
        yield np.flatnonzero(~is_valid), np.flatnonzero(is_valid)
