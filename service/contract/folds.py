"""Split rows into a test part and folds; a pure function of the columns, the spec and the seed.

The worker trains on these folds, and the master's data process checks them before a search is stored. This is the
only module of the contract that imports scikit-learn, for folds of whole groups: the master's own process must not
import it, and processes that draw none of these start a second sooner without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.draws import Fold, Rows, folds_in_time, shuffled_folds, stratified_folds
from foldstep.service.contract.spec import ColumnRef, CvSpec, DataSpec, OuterFold

Labels: TypeAlias = npt.NDArray[np.int64]

TEST_WORDS = frozenset({"test", "true", "1"})
"""Texts, in any case, that mark a row as a test row in a column of text; in a column of numbers 1 marks it."""
_TEST_STREAM = 0  # the test part's own random numbers; repeat r of the folds uses r + 1
_OUTER_STREAM = 2**34  # those of outer folds


@dataclass(frozen=True)
class Splits:
    """The row numbers of the test part and of the folds, each in ascending order.

    Attributes:
        test: rows held out before anything else; empty where there are none.
        folds: training and validation rows of each fold; disjoint, and neither holds a test row.
    """

    test: Rows
    folds: list[tuple[Rows, Rows]]


def make_splits(columns: Mapping[str, ColumnValues], data: DataSpec, cv: CvSpec, seed: int) -> Splits:
    """Hold out the test part, then split the rest into folds.

    The test part is a share (in proportion to the classes; whole groups with `cv.group`; the last rows with
    `cv.time`; the same share of each given fold with `cv.column`), the rows that a column marks, or one of some folds
    of all rows.

    Args:
        columns: at least the target and the columns that determine the splits.
        data: the spec's data, with `target` and `task` filled in.
        cv: the spec's cross-validation.
        seed: the search's seed.
    """
    return Splitter(columns, data, cv, seed).splits()


def outer_rests(columns: Mapping[str, ColumnValues], data: DataSpec, cv: CvSpec, seed: int) -> Iterator[Rows]:
    """Yield the rows outside of each outer fold; none where there are no outer folds.

    Args:
        columns: as for `make_splits`, as the others are.
        data: its test part is not looked at.
        cv: `cv.outer` is the number of outer folds.
        seed: the search's seed.

    Raises:
        ValueError: there are fewer rows, groups or rows of each class than outer folds.
    """
    for fold in range(cv.outer or 0):
        held_out = OuterFold(fold=fold, of=cv.outer or 0)
        yield Splitter(columns, data.model_copy(update={"test": held_out}), cv, seed).rest


def n_held_out(count: int, share: float) -> int:
    """Count the rows that a share holds out of `count` rows (of a class, where classes are kept in proportion).

    At least one row is held out and one is kept; of a single row none is held out.
    """
    return min(max(round(count * share), 1), count - 1) if count > 1 else 0


def marked_as_test(column: ColumnValues) -> npt.NDArray[np.bool_]:
    """Find the rows that a column marks as test rows; see `TEST_WORDS`."""
    if isinstance(column, CategoryColumn):
        marked = [i for i, label in enumerate(column.labels) if label.lower() in TEST_WORDS]
        return np.isin(column.codes, marked)
    return np.equal(column.values, 1.0)


def labels_of(column: ColumnValues) -> Labels:
    """Encode each row's value by its place among the sorted different values; missing values count as one value."""
    if isinstance(column, CategoryColumn):
        return column.codes.astype(np.int64)
    return np.unique(column.values, return_inverse=True)[1].astype(np.int64)


def is_missing(column: ColumnValues) -> npt.NDArray[np.bool_]:
    """Tell which rows have no value, (rows,)."""
    return column.codes < 0 if isinstance(column, CategoryColumn) else np.isnan(column.values)


def is_any_missing(columns: Sequence[ColumnValues]) -> npt.NDArray[np.bool_]:
    """Tell which rows lack a value of some of several targets, (rows,): they are in no part."""
    return np.asarray(np.stack([is_missing(column) for column in columns]).any(axis=0))


def _length(column: ColumnValues) -> int:
    return len(column.codes if isinstance(column, CategoryColumn) else column.values)


class Splitter:
    """The splitting of one data set, with a method for each way to split; for the arguments see `make_splits`.

    Of several targets, rows without a value of each are left out.
    """

    def __init__(self, columns: Mapping[str, ColumnValues], data: DataSpec, cv: CvSpec, seed: int) -> None:
        self._columns, self._cv, self._seed = columns, cv, seed
        self._share = data.test
        targets = [columns[name] for name in data.targets]
        self._rows = np.flatnonzero(~is_any_missing(targets)) if len(targets) > 1 else np.arange(_length(targets[0]))
        stratify = data.task == "classification" if cv.stratify is None else cv.stratify
        self._classes = labels_of(targets[0]) if stratify else None

    @cached_property
    def test(self) -> Rows:
        """The rows held out before anything else."""
        rows = self._rows
        if self._share is None:
            return rows[:0]
        if isinstance(self._share, ColumnRef):
            return rows[marked_as_test(self._columns[self._share.column])[rows]]
        if isinstance(self._share, OuterFold):
            return np.sort(rows[self._outer_fold(rows, self._share)])
        return np.sort(self._hold_out(rows, self._share, _generator(self._seed, _TEST_STREAM)))

    @cached_property
    def rest(self) -> Rows:
        """The rows outside the test part."""
        return np.setdiff1d(self._rows, self.test)

    def splits(self) -> Splits:
        """Split the rest into folds.

        Raises:
            ValueError: there are too few rows, groups or rows of a class for so many folds.
        """
        rest = self.rest
        folds = [(np.sort(rest[train]), np.sort(rest[valid])) for train, valid in self._folds(rest)]
        return Splits(test=self.test, folds=folds)

    def _labels(self, name: str | None) -> Labels | None:
        return None if name is None else labels_of(self._columns[name])

    def _time(self) -> npt.NDArray[Any] | None:
        """Find the values whose order is that of time: numbers, or codes of sorted text; None without `cv.time`."""
        if self._cv.time is None:
            return None
        column = self._columns[self._cv.time]
        return column.codes if isinstance(column, CategoryColumn) else column.values

    def _folds(self, rows: Rows) -> Iterator[tuple[Rows, Rows]]:
        """Yield training and validation positions within `rows` for each fold."""
        given = self._labels(self._cv.column)
        if given is not None:
            yield from _given_folds(given[rows])
        elif self._cv.holdout is not None:
            yield from self._holdouts(rows, self._cv.holdout)
        else:
            yield from self._k_folds(rows, self._cv.folds or 5)

    def _hold_out(self, rows: Rows, share: float, generator: np.random.Generator) -> Rows:
        """Choose the rows to hold out of `rows`: the last in time, whole groups, or a share of each class or fold."""
        time, groups = self._time(), self._labels(self._cv.group)
        if time is not None:
            n_first = len(rows) - n_held_out(len(rows), share)
            return rows[np.argsort(time[rows], kind="stable")][n_first:]
        if groups is not None:
            return rows[_hold_out_groups(groups[rows], share, generator)]
        strata = self._classes if self._cv.column is None else self._labels(self._cv.column)
        return rows[_hold_out_rows(np.zeros_like(rows) if strata is None else strata[rows], share, generator)]

    def _holdouts(self, rows: Rows, share: float) -> Iterator[tuple[Rows, Rows]]:
        positions = np.arange(len(rows))
        for repeat in range(self._cv.repeats):
            held_out = self._hold_out(rows, share, _generator(self._seed, repeat + 1))
            is_valid = np.isin(rows, held_out)
            yield positions[~is_valid], positions[is_valid]

    def _k_folds(self, rows: Rows, k: int) -> Iterator[tuple[Rows, Rows]]:
        time = self._time()
        if time is not None:
            order = np.argsort(time[rows], kind="stable")
            yield from ((order[train], order[valid]) for train, valid in folds_in_time(len(order), k))
            return
        groups = self._labels(self._cv.group)
        strata = np.zeros_like(rows) if self._classes is None else self._classes[rows]
        for repeat in range(self._cv.repeats):
            yield from self._shuffled(k, _legacy_random_state(self._seed, repeat + 1), strata, groups, rows)

    def _outer_fold(self, rows: Rows, which: OuterFold) -> Rows:
        """Find the positions of one of the outer folds within `rows`."""
        strata = np.zeros_like(rows) if self._classes is None else self._classes[rows]
        state = _legacy_random_state(self._seed, _OUTER_STREAM)
        folds = list(self._shuffled(which.of, state, strata, self._labels(self._cv.group), rows))
        return folds[which.fold][1]

    def _shuffled(
        self, k: int, state: np.random.RandomState, strata: Labels, groups: Labels | None, rows: Rows
    ) -> Iterator[tuple[Rows, Rows]]:
        if groups is not None:
            return _folds_of_groups(strata, groups[rows], k, state)
        if self._classes is None:
            return shuffled_folds(len(rows), k, state)
        return stratified_folds(strata, k, state)


def _folds_of_groups(strata: Labels, groups: Labels, k: int, state: np.random.RandomState) -> Iterator[Fold]:
    """Yield folds of whole groups; with a single stratum they are balanced in size."""
    from sklearn.model_selection import (
        StratifiedGroupKFold,
    )  # imported in a second, which other folds need not wait for

    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=state)
    return iter(splitter.split(strata, strata, groups))


def _given_folds(labels: Labels) -> Iterator[tuple[Rows, Rows]]:
    positions = np.arange(len(labels))
    for label in np.unique(labels):
        yield positions[labels != label], positions[labels == label]


def _hold_out_rows(strata: Labels, share: float, generator: np.random.Generator) -> Rows:
    """Draw the positions to hold out: the same share of each stratum, without replacement."""
    shuffled = generator.permutation(len(strata))
    # one sort, not a pass for each stratum: the target may be a column of a million different words
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    sizes = np.unique(strata, return_counts=True)[1]
    parts = np.split(by_stratum, np.cumsum(sizes)[:-1])
    return np.concatenate([members[: n_held_out(len(members), share)] for members in parts])


def _hold_out_groups(groups: Labels, share: float, generator: np.random.Generator) -> Rows:
    """Draw the positions to hold out: whole groups in random order until the share is reached, never all groups."""
    order = generator.permutation(np.unique(groups))
    sizes = np.bincount(groups, minlength=int(groups.max()) + 1)[order]
    n_groups = int(np.searchsorted(np.cumsum(sizes), share * len(groups))) + 1
    return np.flatnonzero(np.isin(groups, order[: min(n_groups, len(order) - 1)]))


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def _legacy_random_state(seed: int, stream: int) -> np.random.RandomState:
    """Make the random state that scikit-learn's splitters need, seeded by all 64 bits of `seed`."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, stream])))
