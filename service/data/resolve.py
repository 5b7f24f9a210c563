"""Resolve a spec against its data before any trial is planned; all faults are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from foldstep.models.catalog.losses import Loss
from foldstep.models.catalog.metrics import METRICS, Metric, metrics_of, metrics_of_numbers
from foldstep.models.catalog.tasks import LEAST_IN_WORDS, Task, is_too_low
from foldstep.service.contract.columns import (
    CategoryColumn,
    ColumnValues,
    NumberColumn,
    class_labels,
    column_from_arrow,
)
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.errors import Fault, SpecInvalid
from foldstep.service.contract.expansion import for_task
from foldstep.service.contract.features import features_of, network_ends
from foldstep.service.contract.final_rules import threshold_faults
from foldstep.service.contract.folds import Splits, Splitter
from foldstep.service.contract.problem import LearningProblem, ResolvedProblem
from foldstep.service.contract.reading import TableReading
from foldstep.service.contract.refit import refit_cv
from foldstep.service.contract.rules import (
    class_faults,
    embedding_faults,
    lbfgs_faults,
    losses_in,
    task_faults,
    transforms_in,
)
from foldstep.service.contract.spec import DataSpec, MetricSpec, Spec
from foldstep.service.data.fold_demands import constant_score, fold_faults, fold_notes, unequal_note
from foldstep.service.data.fold_targets import FoldTargets
from foldstep.service.data.idle import unread_notes
from foldstep.service.data.rarity import min_counts_in, rare_notes
from foldstep.service.data.roles import data_notes, factor_columns, name_faults, split_columns
from foldstep.service.data.several import (
    MOST_SCANNED,
    constant_faults,
    inferred,
    judged,
    kind_faults,
    left_out,
    not_scanned,
    notes_of_folds,
    units_note,
)
from foldstep.service.data.sources import BUNDLED_TARGET
from foldstep.service.data.split_checks import SplitCheck
from foldstep.service.data.target_checks import distinct, target_faults
from foldstep.service.data.target_report import is_classes, leaks_among
from foldstep.service.data.zero import Table, filled


def resolve_problem(spec: Spec, description: DatasetDescription, canonical_file: Path) -> ResolvedProblem:
    """Resolve a spec against its data: fill in what it leaves open, and split the rows as a worker will.

    Args:
        spec: the spec.
        description: the description of its data set.
        canonical_file: its data set's canonical file; only the columns that the spec names are read.

    Raises:
        SpecInvalid: every fault, each with its path in the spec.
    """
    targets = spec.data.targets or ([BUNDLED_TARGET] if description.bundled else [])
    faults = list(name_faults(spec, targets, description))
    if faults:
        raise SpecInvalid(faults)
    names = dict.fromkeys([*targets, *(name for _, name in (*factor_columns(spec), *split_columns(spec)))])
    table = pq.read_table(canonical_file, columns=list(names))
    columns = {name: column_from_arrow(table.column(name).combine_chunks()) for name in names}
    return _Resolving(spec, targets, columns, description, canonical_file).run()


class _Resolving:
    """The state of resolving one spec: it gathers faults and notes. All named columns must exist."""

    def __init__(
        self,
        spec: Spec,
        targets: list[str],
        columns: Mapping[str, ColumnValues],
        description: DatasetDescription,
        canonical_file: Path,
    ) -> None:
        self.spec, self.columns, self.description = spec, columns, description
        self.file = canonical_file
        self.targets = {name: columns[name] for name in targets}
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def run(self) -> ResolvedProblem:
        for name, target in self.targets.items():
            of_several = self._has_several
            self.faults += target_faults(name, target, self.spec.data.task, self.description, of_several=of_several)
        task = self.spec.data.task or self._infer_task()
        if self._has_several:
            self._check_several(task)
        self.spec = for_task(self.spec, task)
        names = list(self.targets)
        data = self.spec.data.model_copy(update={"target": names if self._has_several else names[0], "task": task})
        if self.spec.left_out:
            self._fill_in(data, task)
        metric = self._metric(task)
        splits = SplitCheck(self.spec, data, self.columns, self.description, self.faults).splits()
        of_refit = None if splits is None else self._splits_of_refit(data)
        self._check_space(task, [parts for parts in (splits, of_refit) if parts is not None])
        self.faults += threshold_faults(self.spec.final, task, len(distinct(self.target)))
        baseline = self._judge_folds(data, metric, splits)
        if of_refit is not None:
            self._judge_refit(data, METRICS[metric.name], of_refit)
        if self.faults or splits is None:
            raise SpecInvalid(self.faults)
        features = features_of(self.description, data, self.spec.cv)
        columns = [column for column in self.description.columns if column.name in features]
        kinds = {column.kind for column in columns}
        unfit = list(embedding_faults(self.spec.space, kinds))
        if unfit:
            raise SpecInvalid(unfit)
        leaks = [leak for name in names[:MOST_SCANNED] for leak in leaks_among(features, name, self.file)]
        self.notes += data_notes(self.description, names, features, [*leaks, *not_scanned(names)])
        texts = [column.name for column in columns if column.kind == "category"]
        self.notes += unread_notes(self.spec, task, columns)
        self.notes += rare_notes(min_counts_in(self.spec.space), texts, splits.folds[0][0], self.file)
        problem = self._problem(data, task, metric, len(splits.folds), baseline)
        return ResolvedProblem(problem=problem, spec=problem.resolved(self.spec), notes=self.notes)

    @property
    def _has_several(self) -> bool:
        return len(self.targets) > 1

    @property
    def name(self) -> str:
        """The target's name, of several the first one's."""
        return next(iter(self.targets))

    @property
    def target(self) -> ColumnValues:
        """The target, of several the first one."""
        return self.targets[self.name]

    def _fill_in(self, data: DataSpec, task: Task) -> None:
        """Choose what a spec without parameters leaves out; nothing where the target itself is at fault."""
        if self.faults:
            return
        rest = Splitter(self.columns, data, self.spec.cv, self.spec.seed).rest
        names = set(features_of(self.description, data, self.spec.cv))
        kinds = {column.kind for column in self.description.columns if column.name in names}
        target = None if self._has_several else self.target
        found = filled(self.spec, Table(task, target, rest, has_numbers=bool(kinds & {"number", "date"})))
        self.spec = found.spec
        self.notes += found.notes
        self.faults += found.faults

    def _check_several(self, task: Task) -> None:
        """Check that several targets are of one kind, and note the rows that lack some of them."""
        self.faults += kind_faults(self.targets, task, is_said=self.spec.data.task is not None)
        note, fault = left_out(self.targets)
        self.notes += [] if note is None else [note]
        self.faults += constant_faults(self.targets) if fault is None else [fault]

    def _judge_folds(self, data: DataSpec, metric: MetricSpec, splits: Splits | None) -> float | None:
        """Check that the metric has a value in every fold, and compute the baseline; None where there is a fault."""
        measured = METRICS[metric.name]
        if splits is None or any(fault.path in ("data.task", "metric.name") for fault in self.faults):
            return None
        if self._has_several:
            return self._judge_several(data, measured, splits)
        folds = FoldTargets.of(self.columns, data, self.spec.cv, splits)
        self.faults += fold_faults(measured, folds)
        baseline = None if self.faults else constant_score(measured, folds)
        if baseline is None or isinstance(baseline, Fault):
            self.faults += [] if baseline is None else [baseline]
            return None
        self.notes += [*fold_notes(measured, folds), *unequal_note(measured, folds, baseline)]
        return baseline

    def _splits_of_refit(self, data: DataSpec) -> Splits | None:
        """Split the rows as the refit does; None where none is asked for."""
        refit = self.spec.final.refit
        if refit is None:
            return None
        return Splitter(self.columns, data, refit_cv(self.spec.cv, refit), self.spec.seed).splits()

    def _judge_refit(self, data: DataSpec, metric: Metric, splits: Splits) -> None:
        """Check that the metric has a value on the rows that choose the epoch of a refitted network."""
        if self.faults or self.spec.final.refit is None:
            return
        cv = refit_cv(self.spec.cv, self.spec.final.refit)
        for one in data.of_each_target() if self._has_several else [data]:
            for fault in fold_faults(metric, FoldTargets.of(self.columns, one, cv, splits)):
                expected = fault.expected.replace("the validation part of every fold", "every inner part of the refit")
                hint = "leave final.refit out, or take another metric"
                self._add(fault.code, "final.refit", expected, fault.got, hint)

    def _judge_several(self, data: DataSpec, metric: Metric, splits: Splits) -> float | None:
        folds = [FoldTargets.of(self.columns, one, self.spec.cv, splits) for one in data.of_each_target()]
        baseline, faults = judged(metric, data.targets, folds)
        self.faults += faults
        if baseline is not None:
            self.notes += [*notes_of_folds(metric, data.targets, folds), *units_note(metric, self.targets)]
        return baseline

    def _problem(
        self, data: DataSpec, task: Task, metric: MetricSpec, n_folds: int, baseline: float | None
    ) -> LearningProblem:
        n_inputs, n_outputs = network_ends(self.description, data, self.spec.cv) or (None, None)
        assert data.target is not None
        return LearningProblem(
            fingerprint=self.description.fingerprint,
            task=task,
            target=data.target,
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
        used = [*features_of(self.description, data, self.spec.cv), *self.targets]
        used += [] if data.exposure is None else [data.exposure]
        by_name = {column.name: column.reading for column in self.description.columns}
        readings = [reading for name in dict.fromkeys(used) if (reading := by_name[name]) is not None]
        if len(readings) < len(set(used)):
            return None
        return TableReading(missing=self.description.options.missing_words, columns=tuple(readings))

    def _add(self, code: str, path: str, expected: str, got: Any, hint: str | None = None) -> None:
        self.faults.append(Fault(code=code, path=path, expected=expected, got=str(got), hint=hint))

    def _infer_task(self) -> Task:
        if self._has_several:
            task, note = inferred(self.targets)
            self.notes.append(note)
            return task
        values = distinct(self.target)
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
        is_of_numbers = task == "regression" and self._has_several
        allowed = metrics_of_numbers() if is_of_numbers else metrics_of(task)
        if self.spec.metric is None:
            first = allowed[0] if self.spec.data.quantiles is None or task != "regression" else "pinball"
            what = f"the default of {task}" if first == allowed[0] else "which scores quantiles"
            what += " with several targets, the mean over them" if is_of_numbers else ""
            what += ", the mean over the labels" if task == "multilabel" else ""
            self.notes.append(f"The metric is {first}, {what}.")
            return MetricSpec(name=first)
        name, n_classes = self.spec.metric.name, len(distinct(self.target))
        metric = METRICS[name]
        if name not in allowed:
            self._add("contradiction", "metric.name", f"a metric of {task}: {', '.join(allowed)}", name)
        if self._has_several:
            self.notes.append(f"{name} is the mean over the {'labels' if task == 'multilabel' else 'targets'}.")
        elif task == "classification" and metric.within >= n_classes:
            more = f"more than {metric.within} classes for {name}, which else is 1 whatever is said"
            self._add("contradiction", "metric.name", more, f"{n_classes}", "set metric: accuracy")
        elif metric.over_classes and n_classes > 2:
            self.notes.append(f"{name} over {n_classes} classes is the mean of {metric.over_classes}.")
        if not self._has_several:  # those that several targets have ask nothing of them
            self._check_target_for("metric.name", name, metric)
        return self.spec.metric

    def _check_target_for(self, path: str, name: str, demands: Metric | Loss) -> None:
        """Check that a metric or a loss of the target's task allows its values."""
        target = self.target
        if demands.has_order and isinstance(target, CategoryColumn):
            got, hint = f"text such as {target.labels[0]!r}", "write them as numbers, in their order"
            self._add("contradiction", path, f"classes that are numbers for {name}, which needs an order", got, hint)
        least = demands.least_target
        if least != "any" and isinstance(target, NumberColumn) and is_too_low(target.values.min(), least):
            got = f"{target.values.min():g}"
            self._add("negative_target", path, f"a target {LEAST_IN_WORDS[least]} for {name}", got)

    def _check_space(self, task: Task, splits: Sequence[Splits]) -> None:
        """Find the hyperparameters that do not fit the task, the target or the training parts."""
        space = self.spec.space
        self.faults += task_faults(space, task)
        if self.spec.data.quantiles is not None and task != "regression":
            self._add("contradiction", "data.quantiles", "no quantiles with classification", self.spec.data.quantiles)
        if task == "classification":
            self.faults += class_faults(space, [str(label) for label in class_labels(self.target)])
        for name, loss in losses_in(space).items():
            if loss.task == task and not self._has_several:
                self._check_target_for("parameters.loss", name, loss)
        if task == "regression" and "log" in transforms_in(space):
            self._check_log()
        for path, name in factor_columns(self.spec):
            self._check_factor(path, self.columns[name])
        if splits:
            self.faults += lbfgs_faults(space, max(len(train) for parts in splits for train, _ in parts.folds))

    def _check_log(self) -> None:
        """Check that the target has a logarithm in every row."""
        for name, target in self.targets.items():
            if isinstance(target, NumberColumn) and is_too_low(np.fmin.reduce(target.values), "above_zero"):
                path, of = "parameters.target_transform", f" in {name}" if self._has_several else ""
                got = f"{np.fmin.reduce(target.values):g}{of}"
                self._add("negative_target", path, "a target above 0 for log", got, "take yeo_johnson or quantile")

    def _check_factor(self, path: str, column: ColumnValues) -> None:
        """Check that a column of exposures or weights has a finite number above 0 in every row."""
        if not isinstance(column, NumberColumn):
            got = "text" if isinstance(column, CategoryColumn) else "dates"
            self._add("wrong_type", path, "a column of numbers", got)
        elif not (np.isfinite(column.values) & (column.values > 0)).all():
            got = "a row without one" if np.isnan(column.values).any() else f"{column.values.min():g}"
            code = path.replace("data.", "bad_")
            self._add(code, path, "a finite number above 0 in every row", got, "remove those rows")
