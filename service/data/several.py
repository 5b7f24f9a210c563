"""Several targets of one search: their kind, the rows that have all of them, and the score of constant answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from foldstep.models.catalog.metrics import Metric
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn, class_labels
from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.folds import is_any_missing, labels_of
from foldstep.service.data.fold_demands import constant_score, fold_faults, fold_notes, unequal_note
from foldstep.service.data.fold_targets import FoldTargets

Targets = Mapping[str, ColumnValues]
MOST_SCANNED = 8
"""Targets for which possible leaks are looked for among the features; each takes a pass over all of them."""


def inferred(targets: Targets) -> tuple[Task, str]:
    """Infer the task of several targets, with a note: labels where each has two values, else numbers."""
    n_two = sum(len(class_labels(column)) == 2 for column in targets.values())
    if n_two == len(targets):
        return "multilabel", (
            f"Each of {_listed(list(targets))} has two values: treated as labels; "
            "set data.task: regression where they are quantities."
        )
    return "regression", f"{_listed(list(targets))} are numbers: treated as a regression of several targets."


def kind_faults(targets: Targets, task: Task, *, is_said: bool) -> Iterator[Fault]:
    """Find the targets that are not of the task's kind: text among numbers, a label of other than two values.

    Args:
        targets: at least two, by name.
        task: as the spec says, or as inferred.
        is_said: whether the spec says it.
    """
    if task == "multilabel":
        for name, column in targets.items():
            if (n := len(class_labels(column))) != 2:
                got = f"{n} different value{'' if n == 1 else 's'} in {name}"
                expected, hint = "two values in the column of each label", "run a search of its own for that column"
                yield Fault(code="not_two_values", path="data.target", expected=expected, got=got, hint=hint)
        return
    texts = [name for name, column in targets.items() if isinstance(column, CategoryColumn)]
    if not texts:
        return
    if is_said:
        yield Fault(code="contradiction", path="data.task", expected="targets of numbers for a regression",
                    got=f"text in {texts[0]}", hint="leave data.task out")  # fmt: skip
        return
    dates = [name for name, column in targets.items() if isinstance(column, DateColumn)]
    if not dates:  # which are refused as such
        yield _mixed(targets, texts)


def _mixed(targets: Targets, texts: Sequence[str]) -> Fault:
    """Name a text of other than two values where there is one, for it cannot be a label, else what is beside texts."""
    n_of = {name: len(class_labels(targets[name])) for name in texts}
    name = next((name for name, n in n_of.items() if n != 2), texts[0])
    expected = "targets of one kind: all numbers, or all labels of two values"
    others = [other for other in targets if other not in texts]
    got = f"{name} with {n_of[name]} text{'' if n_of[name] == 1 else 's'}"
    got += f" beside {others[0]}, numbers" if others else ""
    return Fault(code="mixed_targets", path="data.target", expected=expected, got=got,
                 hint="run one search for the targets of each kind")  # fmt: skip


def left_out(targets: Targets) -> tuple[str | None, Fault | None]:
    """Say how many rows lack some target, and so are in no part; a fault where none is left."""
    is_missing = is_any_missing(list(targets.values()))
    n = int(is_missing.sum())
    if not n:
        return None, None
    if n == len(is_missing):
        got = "no row with a value of every target"
        return None, Fault(code="missing_values", path="data.target", expected="rows with all targets", got=got,
                           hint="run one search for each target")  # fmt: skip
    lacking = {name: int(is_any_missing([column]).sum()) for name, column in targets.items()}
    of_each = _listed([f"{name} {count:,}" for name, count in lacking.items() if count])
    rows = "1 row is" if n == 1 else f"{n:,} rows are"
    return f"{rows} left out of training, validation and test, for a target has no value there ({of_each}).", None


def constant_faults(targets: Targets) -> Iterator[Fault]:
    """Find the targets that are constant in the rows that have all targets, though not in the whole column."""
    is_missing = is_any_missing(list(targets.values()))
    if is_missing.all():
        return
    for name, column in targets.items():
        values = labels_of(column)
        if len(np.unique(values[~is_missing])) == 1 and len(class_labels(column)) > 1:
            got = f"one value of {name} in the {int((~is_missing).sum()):,} rows that have every target"
            yield Fault(code="constant_target", path="data.target", expected="at least two different values", got=got,
                        hint=f"run a search of its own for {name}")  # fmt: skip


def judged(metric: Metric, names: Sequence[str], folds: Sequence[FoldTargets]) -> tuple[float | None, list[Fault]]:
    """Compute the baseline, the mean over the targets of the scores of constant answers; or find why there is none."""
    scores: list[float] = []
    faults: list[Fault] = []
    for name, own in zip(names, folds, strict=True):
        found: list[float | Fault] = [*fold_faults(metric, own)] or [constant_score(metric, own)]
        faults += [_of_target(name, fault) for fault in found if isinstance(fault, Fault)]
        scores += [score for score in found if not isinstance(score, Fault)]
    return (None, faults) if faults else (math.fsum(scores) / len(scores), [])


def notes_of_folds(metric: Metric, names: Sequence[str], folds: Sequence[FoldTargets]) -> Iterator[str]:
    """Note what the folds lack of each target, and labels whose constant answer looks good."""
    for name, own in zip(names, folds, strict=True):
        score = constant_score(metric, own)
        assert isinstance(score, float)
        for note in (*fold_notes(metric, own), *unequal_note(metric, own, score)):
            yield f"{name}: {note}"


def units_note(metric: Metric, targets: Targets) -> Iterator[str]:
    """Say that a mean over targets is that of the greatest, where the metric has a unit and their spreads differ."""
    if metric.is_at_most_one or any(isinstance(column, CategoryColumn) for column in targets.values()):
        return
    spreads = {name: float(np.nanstd(column.values)) for name, column in targets.items()}  # type: ignore[union-attr]
    least, most = (f(spreads, key=lambda name: spreads[name]) for f in (min, max))
    if spreads[most] > 10 * spreads[least]:
        yield (
            f"{metric.name} is averaged over targets in their own units, and {most} is spread wider than {least} by "
            f"more than ten times: the mean is mostly that of {most}; metric: r2 has no unit."
        )


def not_scanned(names: Sequence[str]) -> Iterator[Finding]:
    """Say for how many of many targets possible leaks were looked for."""
    if len(names) > MOST_SCANNED:
        sentence = f"Possible leaks were looked for of the first {MOST_SCANNED} of {len(names)} targets."
        yield Finding(code="leaks_not_looked_for", columns=(), sentence=sentence)


def _of_target(name: str, fault: Fault) -> Fault:
    return fault.model_copy(update={"got": f"{name}: {fault.got}"})


def _listed(names: Sequence[str]) -> str:
    shown = list(names) if len(names) <= 6 else [*names[:5], f"{len(names) - 5} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
