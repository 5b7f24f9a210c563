"""The target of every fold, as what judges the folds of a search needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues, NumberColumn, class_labels
from foldstep.service.contract.draws import Rows
from foldstep.service.contract.folds import Splits
from foldstep.service.contract.spec import CvSpec, DataSpec


class Values(NamedTuple):
    """The targets of some rows of a regression.

    Attributes:
        target: (rows,), in the user's units.
        exposure: (rows,) the exposure of each row's count; None for 1.
        weight: (rows,) how much each row counts; None for equal weights.
        levels: of the quantiles that are predicted; none for one value.
    """

    target: npt.NDArray[np.float64]
    exposure: npt.NDArray[np.float64] | None
    weight: npt.NDArray[np.float64] | None = None
    levels: tuple[float, ...] = ()

    def mean(self, of_rows: npt.NDArray[np.float64]) -> float:
        """Average something over the rows, by their weights."""
        return float(of_rows.mean() if self.weight is None else np.average(of_rows, weights=self.weight))


@dataclass(frozen=True)
class FoldTargets:
    """The targets of the training and validation part of every fold.

    Attributes:
        labels: the classes, in their order; None for a regression.
        target: (rows,) index of each row's class, or its number.
        exposure: (rows,) the exposure of each row's count; None for 1.
        folds: training and validation rows of each fold.
        cv: the spec's cross-validation.
        given: for folds that a column gives, its value in each; None for others.
        weight: (rows,) how much each row counts in the metric; None for equal weights.
        levels: of the quantiles that are predicted; none for one value.
    """

    labels: tuple[str, ...] | None
    target: npt.NDArray[Any]
    exposure: npt.NDArray[np.float64] | None
    folds: list[tuple[Rows, Rows]]
    cv: CvSpec
    given: list[str] | None
    weight: npt.NDArray[np.float64] | None = None
    levels: tuple[float, ...] = ()

    @classmethod
    def of(cls, columns: Mapping[str, ColumnValues], data: DataSpec, cv: CvSpec, splits: Splits) -> FoldTargets:
        """Take the targets of the folds from the columns that a spec names.

        Args:
            columns: at least the target, the exposure and the columns that determine the splits.
            data: the spec's data, with one `target` and `task` filled in.
            cv: the spec's cross-validation.
            splits: the rows of each fold.
        """
        (name,) = data.targets
        target = columns[name]
        is_classes = data.task == "classification"
        exposure, weight = (columns.get(name or "") for name in (data.exposure, data.weight))
        return cls(
            labels=tuple(str(label) for label in class_labels(target)) if is_classes else None,
            target=_classes(target) if is_classes else _numbers(target),
            exposure=exposure.values if isinstance(exposure, NumberColumn) else None,
            folds=splits.folds,
            cv=cv,
            given=None if cv.column is None else [_word(columns[cv.column], valid[0]) for _, valid in splits.folds],
            weight=weight.values if isinstance(weight, NumberColumn) else None,
            levels=tuple(data.quantiles or ()),
        )

    def name(self, fold: int) -> str:
        """Name a fold for the user: by its index, and the value that gives it or the indices that there are."""
        if self.given is not None:
            return f"fold {fold} ({self.cv.column} = {self.given[fold]})"
        return f"fold {fold} (of 0 to {len(self.folds) - 1})" if len(self.folds) > 1 else "the holdout"

    @cached_property
    def counts(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """The number of training and of validation rows of each class, (classes,) each, by fold."""
        assert self.labels is not None
        n = len(self.labels)
        return [
            (np.bincount(self.target[train], minlength=n), np.bincount(self.target[valid], minlength=n))
            for train, valid in self.folds
        ]

    @property
    def weighted_counts(self) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """The weight of the training and of the validation rows of each class, (classes,) each, by fold."""
        if self.weight is None:
            return list(self.counts)
        assert self.labels is not None
        return [(self._weights(train), self._weights(valid)) for train, valid in self.folds]

    def _weights(self, rows: Rows) -> npt.NDArray[np.float64]:
        assert self.labels is not None
        assert self.weight is not None
        found = np.bincount(self.target[rows], weights=self.weight[rows], minlength=len(self.labels))
        return found.astype(np.float64)

    def values(self, rows: Rows) -> Values:
        """Take the targets of some rows of a regression."""
        exposure, weight = (None if factor is None else factor[rows] for factor in (self.exposure, self.weight))
        return Values(self.target[rows], exposure, weight, self.levels)


def _classes(target: ColumnValues) -> npt.NDArray[np.int64]:
    if isinstance(target, CategoryColumn):
        return target.codes.astype(np.int64)
    return np.unique(target.values, return_inverse=True)[1].astype(np.int64)


def _numbers(target: ColumnValues) -> npt.NDArray[np.float64]:
    assert not isinstance(target, CategoryColumn)
    return target.values


def _word(column: ColumnValues, row: np.int64) -> str:
    if isinstance(column, CategoryColumn):
        return column.labels[int(column.codes[row])]
    if isinstance(column, NumberColumn):
        return f"{column.values[row]:.15g}"
    moment = np.datetime64(int(column.values[row]), "s")
    return str(moment).removesuffix("T00:00:00")
