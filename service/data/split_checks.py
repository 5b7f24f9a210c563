"""Checks of a spec against its data: are there rows enough for the test part and the folds?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.draws import Rows
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.folds import Splits, Splitter, is_missing, marked_as_test, outer_rests
from foldstep.service.contract.spec import ColumnRef, DataSpec, Spec
from foldstep.service.data.roles import split_columns, time_faults


class SplitCheck:
    """The check of one spec's splits.

    Args:
        spec: the spec, with the validation filled in.
        data: its data, with target and task filled in.
        columns: the target and the columns that determine the splits; all must exist.
        description: of the data.
        faults: those found by now; what is found here is added.
    """

    def __init__(
        self,
        spec: Spec,
        data: DataSpec,
        columns: Mapping[str, ColumnValues],
        description: DatasetDescription,
        faults: list[Fault],
    ) -> None:
        self.spec, self.data, self.columns, self.description = spec, data, columns, description
        self.faults = faults

    def splits(self) -> Splits | None:
        """Split the rows as a worker does; None where that is impossible, with a fault for each reason."""
        is_marked, is_complete = self._test_column_marks_some(), self._split_columns_are_complete()
        faults = list(time_faults(self.spec.cv.time, self.columns, self.description))
        self.faults += faults
        if not is_marked or not is_complete or faults:
            return None
        n_before = len(self.faults)
        splitter = Splitter(self.columns, self.data, self.spec.cv, self.spec.seed)
        self._check_rest(splitter.rest)
        self._check_outer()
        is_target_bad = any(fault.path == "data.target" for fault in self.faults)
        return None if is_target_bad or len(self.faults) > n_before else splitter.splits()

    def _check_outer(self) -> None:
        """Check that the rows outside of each outer fold are enough for the folds."""
        try:
            for rest in outer_rests(self.columns, self.data, self.spec.cv, self.spec.seed):
                if not self.faults:
                    self._check_rest(rest)
        except ValueError as error:
            self._add("too_few", "cv.outer", "fewer outer folds, or more rows of each class or group", str(error))

    def _check_rest(self, rest: Rows) -> None:
        """Check that rows, groups, classes and given folds outside the test part are enough for the folds."""
        cv = self.spec.cv
        if cv.stratify and self.data.task == "regression" and len(self.data.targets) == 1:
            self._add("contradiction", "cv.stratify", "no stratify with regression", "true")
        if cv.column is not None:
            self._check_enough("cv.column", 2, _n_distinct(self.columns[cv.column], rest), "different values")
            return
        path, needed = ("cv.holdout", 2) if cv.folds is None else ("cv.folds", cv.folds + (cv.time is not None))
        if cv.group is not None:
            self._check_enough(path, needed, _n_distinct(self.columns[cv.group], rest), f"groups of {cv.group}")
        self._check_enough(path, needed, len(rest), "rows")
        stratified = self.data.task == "classification" and cv.stratify is not False and cv.time is None
        if stratified and not any(fault.path == "data.target" for fault in self.faults):
            self._check_classes(path, rest)

    def _split_columns_are_complete(self) -> bool:
        n_before = len(self.faults)
        for path, name in split_columns(self.spec):
            n_missing = int(is_missing(self.columns[name]).sum())
            if n_missing and path != "data.test.column":
                self._add("missing_values", path, "a value in every row", f"{n_missing} rows without one in {name}")
        return len(self.faults) == n_before

    def _check_enough(self, path: str, needed: int, there: int, what: str) -> None:
        if there < needed:
            self._add("too_few", path, f"at least {needed} {what}", there, "take fewer folds, or more data")

    def _test_column_marks_some(self) -> bool:
        test = self.spec.data.test
        if not isinstance(test, ColumnRef):
            return True
        is_test = marked_as_test(self.columns[test.column])
        if is_test.any() and not is_test.all():
            return True
        got = "all rows marked" if is_test.all() else "no row marked"
        self._add("no_test_rows", "data.test.column", "some rows marked as test (1, true or test), not all", got)
        return False

    def _outside(self) -> str:
        if self.spec.cv.outer is not None:
            return " outside of each outer fold"
        return "" if self.spec.data.test is None else " outside the test part"

    def _check_classes(self, path: str, rest: Rows) -> None:
        """Check that every class has a row for each part of a stratified split."""
        needed = self.spec.cv.folds or 2
        target = self.columns[self.data.targets[0]]
        labels, class_of_row = np.unique(_values(target), return_inverse=True)
        counts = np.bincount(class_of_row[rest], minlength=len(labels))
        rarest = int(np.argmin(counts))
        if counts[rarest] >= needed:
            return
        label = target.labels[labels[rarest]] if isinstance(target, CategoryColumn) else f"{labels[rarest]:g}"
        self._add(
            "too_few_of_class",
            path,
            f"at least {needed} rows of every class{self._outside()}",
            f"{counts[rarest]} of the class {label}",
            "take fewer folds, or set cv.stratify: false",
        )

    def _add(self, code: str, path: str, expected: str, got: object, hint: str | None = None) -> None:
        self.faults.append(Fault(code=code, path=path, expected=expected, got=str(got), hint=hint))


def _n_distinct(column: ColumnValues, rows: Rows) -> int:
    """Count the different values of some rows."""
    return len(np.unique(_values(column)[rows]))


def _values(column: ColumnValues) -> npt.NDArray[Any]:
    return column.codes if isinstance(column, CategoryColumn) else column.values
