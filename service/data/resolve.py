"""Resolve a spec against its data before any trial is planned; all faults are reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from foldstep.models.catalog.metrics import METRICS, metrics_of
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import (
    CategoryColumn,
    ColumnValues,
    DateColumn,
    NumberColumn,
    class_labels,
    column_from_arrow,
)
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.errors import Fault, SpecInvalid
from foldstep.service.contract.features import features_of, network_ends
from foldstep.service.contract.folds import Rows, Splits, Splitter, marked_as_test
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.problem import LearningProblem, ResolvedProblem
from foldstep.service.contract.reading import TableReading
from foldstep.service.contract.rules import can_be_poisson, class_faults, lbfgs_faults, task_faults
from foldstep.service.contract.spec import ColumnRef, DataSpec, MetricSpec, Spec
from foldstep.service.data.fold_demands import constant_score, fold_faults, fold_notes, unequal_note
from foldstep.service.data.fold_targets import FoldTargets
from foldstep.service.data.roles import data_notes, feature_faults, missing_hint, time_faults
from foldstep.service.data.sources import BUNDLED_TARGET
from foldstep.service.data.target_report import is_classes, leaks_among


def resolve_problem(spec: Spec, description: DatasetDescription, canonical_file: Path) -> ResolvedProblem:
    """Resolve a spec against its data: fill in what it leaves open, and split the rows as a worker will.

    Args:
        spec: the spec.
        description: the description of its data set.
        canonical_file: its data set's canonical file; only the columns that the spec names are read.

    Raises:
        SpecInvalid: every fault, each with its path in the spec.
    """
    target = spec.data.target or (BUNDLED_TARGET if description.bundled else None)
    faults = list(_name_faults(spec, target, description))
    if faults or target is None:
        raise SpecInvalid(faults)
    exposure = [] if spec.data.exposure is None else [spec.data.exposure]
    names = dict.fromkeys([target, *exposure, *(name for _, name in _split_columns(spec))])
    table = pq.read_table(canonical_file, columns=list(names))
    columns = {name: column_from_arrow(table.column(name).combine_chunks()) for name in names}
    return _Resolving(spec, target, columns, description, canonical_file).run()


def _split_columns(spec: Spec) -> Iterator[tuple[str, str]]:
    """Yield path in the spec and name of each column that determines how rows are split."""
    if isinstance(spec.data.test, ColumnRef):
        yield "data.test.column", spec.data.test.column
    for key in ("column", "group", "time"):
        if (name := getattr(spec.cv, key)) is not None:
            yield f"cv.{key}", name


def _name_faults(spec: Spec, target: str | None, description: DatasetDescription) -> Iterator[Fault]:
    known = [column.name for column in description.columns]
    others = [*_split_columns(spec), *((f"data.ignore.{i}", name) for i, name in enumerate(spec.data.ignore))]
    if spec.data.exposure is not None:
        others.append(("data.exposure", spec.data.exposure))
    if target is None:
        yield Fault(code="missing", path="data.target", expected="the name of the column to predict")
    for path, name in [("data.target", target), *others]:
        if name is not None and name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else "the columns are " + ", ".join(known[:20])
            yield Fault(code="unknown_column", path=path, expected="a column of the data", got=name, hint=hint)
        elif name == target and path != "data.target":
            yield Fault(code="contradiction", path=path, expected="another column than the target", got=name)
    if target is not None and spec.data.types.get(target) == "ignore":
        hint = "leave it out of data.types, or name another target"
        yield Fault(
            code="contradiction", path=f"data.types.{target}", expected="a target that is read", got="ignore", hint=hint
        )
    if target in known:
        yield from feature_faults(spec, target, description)


class _Resolving:
    """The state of resolving one spec: it gathers faults and notes. All named columns must exist."""

    def __init__(
        self,
        spec: Spec,
        target: str,
        columns: Mapping[str, ColumnValues],
        description: DatasetDescription,
        canonical_file: Path,
    ) -> None:
        self.spec, self.name, self.columns, self.description = spec, target, columns, description
        self.file = canonical_file
        self.target = columns[target]
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def run(self) -> ResolvedProblem:
        self._check_target()
        task = self.spec.data.task or self._infer_task()
        data = self.spec.data.model_copy(update={"target": self.name, "task": task})
        metric = self._metric(task)
        splits = self._splits(data)
        self._check_space(task, splits)
        baseline = self._judge_folds(data, metric, splits)
        if self.faults or splits is None:
            raise SpecInvalid(self.faults)
        features = features_of(self.description, data, self.spec.cv)
        leaks = leaks_among(features, self.name, self.file)
        self.notes += data_notes(self.description, self.name, features, leaks)
        problem = self._problem(data, task, metric, len(splits.folds), baseline)
        return ResolvedProblem(problem=problem, notes=self.notes)

    def _judge_folds(self, data: DataSpec, metric: MetricSpec, splits: Splits | None) -> float | None:
        """Check that the metric has a value in every fold, and compute the baseline; None where there is a fault."""
        measured = METRICS[metric.name]
        if splits is None or any(fault.path in ("data.task", "metric.name") for fault in self.faults):
            return None
        folds = FoldTargets.of(self.columns, data, self.spec.cv, splits)
        self.faults += fold_faults(measured, folds)
        baseline = None if self.faults else constant_score(measured, folds)
        if baseline is None or isinstance(baseline, Fault):
            self.faults += [] if baseline is None else [baseline]
            return None
        self.notes += [*fold_notes(measured, folds), *unequal_note(measured, folds, baseline)]
        return baseline

    def _problem(
        self, data: DataSpec, task: Task, metric: MetricSpec, n_folds: int, baseline: float | None
    ) -> LearningProblem:
        n_inputs, n_outputs = network_ends(self.description, data, self.spec.cv) or (None, None)
        return LearningProblem(
            fingerprint=self.description.fingerprint,
            task=task,
            target=self.name,
            metric=metric,
            data=data,
            cv=self.spec.cv,
            seed=self.spec.seed,
            n_folds=n_folds,
            n_rows=self.description.n_rows,
            n_inputs=n_inputs,
            n_outputs=n_outputs,
            baseline=baseline,
            reading=self._reading(data),
        )

    def _reading(self, data: DataSpec) -> TableReading | None:
        """Collect how the features, the target and the exposure are read; None where an earlier version read them."""
        used = [*features_of(self.description, data, self.spec.cv), self.name]
        used += [] if data.exposure is None else [data.exposure]
        by_name = {column.name: column.reading for column in self.description.columns}
        readings = [reading for name in dict.fromkeys(used) if (reading := by_name[name]) is not None]
        if len(readings) < len(set(used)):
            return None
        return TableReading(missing=self.description.options.missing_words, columns=tuple(readings))

    def _add(self, code: str, path: str, expected: str, got: Any, hint: str | None = None) -> None:
        self.faults.append(Fault(code=code, path=path, expected=expected, got=str(got), hint=hint))

    def _check_target(self) -> None:
        is_text = isinstance(self.target, CategoryColumn)
        present = self._distinct()
        if isinstance(self.target, DateColumn):
            self._add("wrong_type", "data.target", "a target of numbers or classes", "dates", "name another column")
        if n_missing := _n_missing(self.target):
            got = f"{n_missing} row{'s' if n_missing > 1 else ''} without one"
            hint = missing_hint(self.description, self.name)
            self._add("missing_values", "data.target", "a value in every row", got, hint)
        if not is_text and np.isinf(np.asarray(present, dtype=float)).any():
            self._add("not_finite", "data.target", "finite numbers", "an infinite one", "remove those rows")
        if len(present) < 2:
            got = f"only {present[0]}" if present else "none"
            self._add("constant_target", "data.target", "at least two different values", got, "name another column")
        if is_text and self.spec.data.task == "regression":
            got = f"text such as {present[0]!r}" if present else "text"
            self._add("contradiction", "data.task", "a target of numbers for a regression", got, "leave data.task out")

    def _distinct(self) -> list[str] | list[float]:
        if isinstance(self.target, CategoryColumn):
            return list(self.target.labels)
        return [float(v) for v in np.unique(self.target.values[~np.isnan(self.target.values)])]

    def _infer_task(self) -> Task:
        values = self._distinct()
        if isinstance(self.target, CategoryColumn):
            self.notes.append(f"{self.name} has {len(values)} classes of text: treated as classification.")
            return "classification"
        if is_classes(self.target):
            self.notes.append(
                f"{self.name} has {len(values)} different whole numbers: treated as classification; "
                "set data.task: regression where they are quantities."
            )
            return "classification"
        self.notes.append(f"{self.name} has {len(values)} different numbers: treated as regression.")
        return "regression"

    def _metric(self, task: Task) -> MetricSpec:
        allowed = metrics_of(task)
        if self.spec.metric is None:
            self.notes.append(f"The metric is {allowed[0]}, the default of {task}.")
            return MetricSpec(name=allowed[0])
        name, n_classes = self.spec.metric.name, len(self._distinct())
        metric = METRICS[name]
        if name not in allowed:
            self._add("contradiction", "metric.name", f"a metric of {task}: {', '.join(allowed)}", name)
        if metric.over_classes and n_classes > 2:
            self.notes.append(f"{name} over {n_classes} classes is the mean of {metric.over_classes}.")
        target = self.target
        if metric.needs_nonnegative_target and isinstance(target, NumberColumn) and target.values.min() < 0:
            got = f"{target.values.min():g}"
            self._add("negative_target", "metric.name", f"a target of at least 0 for {name}", got)
        return self.spec.metric

    def _check_space(self, task: Task, splits: Splits | None) -> None:
        """Find the hyperparameters that do not fit the task, the target or the training parts."""
        space = self.spec.space
        self.faults += task_faults(space, task)
        if task == "classification":
            self.faults += class_faults(space, [str(label) for label in class_labels(self.target)])
        elif can_be_poisson(space) and isinstance(self.target, NumberColumn):
            self._check_counts(self.target)
        if splits is not None:
            self.faults += lbfgs_faults(space, max(len(train) for train, _ in splits.folds))

    def _check_counts(self, target: NumberColumn) -> None:
        if target.values.min() < 0:
            got = f"{target.values.min():g}"
            self._add("negative_target", "parameters.loss", "a target of at least 0 for poisson", got)
        if self.spec.data.exposure is None:
            return
        exposure = self.columns[self.spec.data.exposure]
        if not isinstance(exposure, NumberColumn):
            got = "text" if isinstance(exposure, CategoryColumn) else "dates"
            self._add("wrong_type", "data.exposure", "a column of numbers", got)
        elif not (np.isfinite(exposure.values) & (exposure.values > 0)).all():
            got = "a row without one" if np.isnan(exposure.values).any() else f"{exposure.values.min():g}"
            self._add("bad_exposure", "data.exposure", "a finite number above 0 in every row", got, "remove those rows")

    def _splits(self, data: DataSpec) -> Splits | None:
        """Split the rows as a worker does; None where that is impossible, with a fault for each reason."""
        is_marked, is_complete = self._test_column_marks_some(), self._split_columns_are_complete()
        faults = list(time_faults(self.spec.cv.time, self.columns, self.description))
        self.faults += faults
        if not is_marked or not is_complete or faults:
            return None
        n_before = len(self.faults)
        splitter = Splitter(self.columns, data, self.spec.cv, self.spec.seed)
        self._check_rest(data, splitter.rest)
        is_target_bad = any(fault.path == "data.target" for fault in self.faults)
        return None if is_target_bad or len(self.faults) > n_before else splitter.splits()

    def _check_rest(self, data: DataSpec, rest: Rows) -> None:
        """Check that rows, groups, classes and given folds outside the test part are enough for the folds."""
        cv = self.spec.cv
        if cv.stratify and data.task == "regression":
            self._add("contradiction", "cv.stratify", "no stratify with regression", "true")
        if cv.column is not None:
            self._check_enough("cv.column", 2, _n_distinct(self.columns[cv.column], rest), "different values")
            return
        path, needed = ("cv.holdout", 2) if cv.folds is None else ("cv.folds", cv.folds + (cv.time is not None))
        if cv.group is not None:
            self._check_enough(path, needed, _n_distinct(self.columns[cv.group], rest), f"groups of {cv.group}")
        self._check_enough(path, needed, len(rest), "rows")
        stratified = data.task == "classification" and cv.stratify is not False and cv.time is None
        if stratified and not any(fault.path == "data.target" for fault in self.faults):
            self._check_classes(path, rest)

    def _split_columns_are_complete(self) -> bool:
        n_before = len(self.faults)
        for path, name in _split_columns(self.spec):
            n_missing = _n_missing(self.columns[name])
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

    def _check_classes(self, path: str, rest: Rows) -> None:
        """Check that every class has a row for each part of a stratified split."""
        needed = self.spec.cv.folds or 2
        labels, class_of_row = np.unique(_values(self.target), return_inverse=True)
        counts = np.bincount(class_of_row[rest], minlength=len(labels))
        rarest = int(np.argmin(counts))
        if counts[rarest] >= needed:
            return
        label = self.target.labels[labels[rarest]] if isinstance(self.target, CategoryColumn) else f"{labels[rarest]:g}"
        self._add(
            "too_few_of_class",
            path,
            f"at least {needed} rows of every class{'' if self.spec.data.test is None else ' outside the test part'}",
            f"{counts[rarest]} of the class {label}",
            "take fewer folds, or set cv.stratify: false",
        )


def _n_missing(column: ColumnValues) -> int:
    is_missing = column.codes < 0 if isinstance(column, CategoryColumn) else np.isnan(column.values)
    return int(is_missing.sum())


def _n_distinct(column: ColumnValues, rows: Rows) -> int:
    """Count the different values of some rows."""
    return len(np.unique(_values(column)[rows]))


def _values(column: ColumnValues) -> npt.NDArray[Any]:
    return column.codes if isinstance(column, CategoryColumn) else column.values
