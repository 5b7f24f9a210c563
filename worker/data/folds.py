"""Splits rows into a test part and folds; a pure function of the table and the search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.lease import SearchContext
from foldstep.service.contract.spec import ColumnRef
from foldstep.service.contract.splits import marked_as_test, n_held_out
from foldstep.worker.data.load import Table

Rows: TypeAlias = npt.NDArray[np.int64]
Labels: TypeAlias = npt.NDArray[np.int64]

_TEST_STREAM = 0  # the test part's own random numbers; repeat r of the folds uses r + 1


@dataclass(frozen=True)
class Splits:
    """Row numbers, each part in ascending order.

    Attributes:
        test: rows held out before anything else; empty where there are none.
        folds: training and validation rows of each fold; disjoint, and neither holds a test row.
    """

    test: Rows
    folds: list[tuple[Rows, Rows]]


def labels_of(column: ColumnValues) -> Labels:
    """Each row's value as the index into the sorted different values; missing values count as one value."""
    if isinstance(column, CategoryColumn):
        return column.codes.astype(np.int64)
    return np.unique(column.values, return_inverse=True)[1].astype(np.int64)


def make_splits(table: Table, context: SearchContext) -> Splits:
    """Hold out the test part, then split the rest into folds.

    The test part is a share (in proportion to the classes; whole groups with `cv.group`; the last rows with
    `cv.time`; the same share of each given fold with `cv.column`) or the rows that a column marks.
    """
    splitter = _Splitter(table, context)
    test = splitter.test_rows()
    rest = np.setdiff1d(np.arange(table.n_rows), test)
    folds = [(np.sort(rest[train]), np.sort(rest[valid])) for train, valid in splitter.folds(rest)]
    return Splits(test=test, folds=folds)


class _Splitter:
    """Knows which column says what; one method for each way to split."""

    def __init__(self, table: Table, context: SearchContext) -> None:
        self.table = table
        self.seed = context.seed
        self.cv = context.cv
        self.test = context.data.test
        stratify = context.task == "classification" if self.cv.stratify is None else self.cv.stratify
        self.classes = self._labels(context.data.target) if stratify else None

    def _labels(self, name: str | None) -> Labels | None:
        return None if name is None else labels_of(self.table.columns[name])

    def _time(self) -> npt.NDArray[Any] | None:
        """Values that sort as time does: numbers, or ISO dates and other text that sorts."""
        if self.cv.time is None:
            return None
        column = self.table.columns[self.cv.time]
        return column.codes if isinstance(column, CategoryColumn) else column.values

    def test_rows(self) -> Rows:
        rows = np.arange(self.table.n_rows)
        if self.test is None:
            return rows[:0]
        if isinstance(self.test, ColumnRef):
            return rows[marked_as_test(self.table.columns[self.test.column])]
        return np.sort(self._hold_out(rows, self.test, _generator(self.seed, _TEST_STREAM)))

    def folds(self, rows: Rows) -> Iterator[tuple[Rows, Rows]]:
        """Positions within `rows`, training part first."""
        given = self._labels(self.cv.column)
        if given is not None:
            yield from _given_folds(given[rows])
        elif self.cv.holdout is not None:
            yield from self._holdouts(rows, self.cv.holdout)
        else:
            yield from self._k_folds(rows, self.cv.folds or 5)

    def _hold_out(self, rows: Rows, share: float, generator: np.random.Generator) -> Rows:
        """The held-out ones of `rows`."""
        time, groups = self._time(), self._labels(self.cv.group)
        if time is not None:
            n_first = len(rows) - n_held_out(len(rows), share)
            return rows[np.argsort(time[rows], kind="stable")][n_first:]
        if groups is not None:
            return rows[_hold_out_groups(groups[rows], share, generator)]
        strata = self.classes if self.cv.column is None else self._labels(self.cv.column)
        return rows[_hold_out_rows(np.zeros_like(rows) if strata is None else strata[rows], share, generator)]

    def _holdouts(self, rows: Rows, share: float) -> Iterator[tuple[Rows, Rows]]:
        positions = np.arange(len(rows))
        for repeat in range(self.cv.repeats):
            held_out = self._hold_out(rows, share, _generator(self.seed, repeat + 1))
            is_valid = np.isin(rows, held_out)
            yield positions[~is_valid], positions[is_valid]

    def _k_folds(self, rows: Rows, k: int) -> Iterator[tuple[Rows, Rows]]:
        time = self._time()
        if time is not None:
            order = np.argsort(time[rows], kind="stable")
            yield from ((order[train], order[valid]) for train, valid in TimeSeriesSplit(k).split(order))
            return
        groups = self._labels(self.cv.group)
        strata = np.zeros_like(rows) if self.classes is None else self.classes[rows]
        for repeat in range(self.cv.repeats):
            yield from self._shuffled(k, _legacy_random_state(self.seed, repeat + 1), strata, groups, rows)

    def _shuffled(
        self, k: int, state: np.random.RandomState, strata: Labels, groups: Labels | None, rows: Rows
    ) -> Iterator[tuple[Rows, Rows]]:
        if groups is not None:  # with a single stratum it balances the folds' sizes
            splitter: Any = StratifiedGroupKFold(k, shuffle=True, random_state=state)
            return iter(splitter.split(rows, strata, groups[rows]))
        if self.classes is None:
            return iter(KFold(k, shuffle=True, random_state=state).split(rows))
        return iter(StratifiedKFold(k, shuffle=True, random_state=state).split(rows, strata))


def _given_folds(labels: Labels) -> Iterator[tuple[Rows, Rows]]:
    positions = np.arange(len(labels))
    for label in np.unique(labels):
        yield positions[labels != label], positions[labels == label]


def _hold_out_rows(strata: Labels, share: float, generator: np.random.Generator) -> Rows:
    """Positions held out: of each stratum the same share, drawn without replacement."""
    shuffled = generator.permutation(len(strata))
    parts = []
    for stratum in np.unique(strata):
        members = shuffled[strata[shuffled] == stratum]
        parts.append(members[: n_held_out(len(members), share)])
    return np.concatenate(parts)


def _hold_out_groups(groups: Labels, share: float, generator: np.random.Generator) -> Rows:
    """Positions held out: whole groups in random order until the share is reached, never all of them."""
    order = generator.permutation(np.unique(groups))
    sizes = np.bincount(groups, minlength=int(groups.max()) + 1)[order]
    n_groups = int(np.searchsorted(np.cumsum(sizes), share * len(groups))) + 1
    return np.flatnonzero(np.isin(groups, order[: min(n_groups, len(order) - 1)]))


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, stream]))


def _legacy_random_state(seed: int, stream: int) -> np.random.RandomState:
    """What scikit-learn's splitters take, seeded by all 64 bits of `seed`."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, stream])))
