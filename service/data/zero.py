"""Fill in what a spec without parameters leaves out, from its table; say what was chosen, and how to say otherwise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task, is_too_low
from foldstep.service.contract.columns import ColumnValues, NumberColumn
from foldstep.service.contract.defaults import (
    FEW_ROWS,
    FOLDS,
    LOSS_OF,
    MANY_ROWS,
    TIME_S,
    default_cv,
    default_parameters,
    for_stages,
    with_parameters,
)
from foldstep.service.contract.draws import Rows
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.folds import labels_of
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.parse import cross_faults
from foldstep.service.contract.spec import BudgetSpec, CvSpec, MetricSpec, Spec
from foldstep.service.data.target_report import unequal_from

_BUDGET = "`foldstep run TABLE --time 10m` and `budget: {time: 10m}` say otherwise."
SKEWED = 1.0
"""The skewness from which whole numbers from 0 on are taken for counts, which are scored as such."""


class Table(NamedTuple):
    """What the choices depend on.

    Attributes:
        task: of the search.
        target: the column to predict; None of several.
        rest: the rows outside of the test part.
        has_numbers: whether a feature is numeric.
    """

    task: Task
    target: ColumnValues | None
    rest: Rows
    has_numbers: bool


class Filled(NamedTuple):
    """A spec in which nothing is left out, with a note for each choice, and the faults of the choices."""

    spec: Spec
    notes: list[str]
    faults: list[Fault]


def filled(spec: Spec, table: Table) -> Filled:
    """Fill in a spec without parameters; a metric that its task's default suits is left to that."""
    if METHODS[spec.method].enumerates:
        hint = "list the values of each under parameters, or leave method out"
        expected = f"parameters with method: {spec.method}, for the default space has ranges"
        return Filled(spec, [], [Fault(code="missing", path="parameters", expected=expected, hint=hint)])
    notes: list[str] = []
    changes: dict[str, Any] = {"left_out": []}
    if "metric" in spec.left_out and (chosen := _metric(spec, table)) is not None:
        changes["metric"], note = MetricSpec(name=chosen[0]), chosen[1]
        notes.append(note)
    if "cv" in spec.left_out:
        changes["cv"] = _cv(table)
        notes.append(_cv_note(changes["cv"], table))
    if "budget" in spec.left_out:
        changes["budget"] = BudgetSpec(time=TIME_S)
        notes.append(f"No budget was given: the search ends after {TIME_S / 60:g} minutes. {_BUDGET}")
    whole = spec.model_copy(update=changes)
    return _with_space(whole, table, notes)


def _with_space(spec: Spec, table: Table, notes: list[str]) -> Filled:
    """Add the default space, and find what does not go with it."""
    metric = None if spec.metric is None or _is_below(spec.metric.name, table.target) else spec.metric.name
    time_s = spec.budget.time or TIME_S
    written = default_parameters(len(table.rest), time_s=time_s, metric=metric, has_numbers=table.has_numbers)
    if METHODS[spec.method].is_staged:
        written = for_stages(written)
    spec = with_parameters(spec, written, table.task)
    return Filled(spec, [_space_note(written, spec, table, metric), *notes], cross_faults(spec))


def _is_below(metric: str, target: ColumnValues | None) -> bool:
    """Tell whether a target is too low for a metric, which is a fault of its own: its loss would be a second one."""
    return isinstance(target, NumberColumn) and is_too_low(target.values.min(), METRICS[metric].least_target)


def _space_note(written: dict[str, Any], spec: Spec, table: Table, metric: str | None) -> str:
    beside = ", ".join(f"{name} {_in_words(value)}" for name, value in written.items() if name != "preset")
    why = f" ({LOSS_OF[metric]} for {metric})" if metric in LOSS_OF else ""
    without = "" if table.has_numbers else " (no embedding, as no feature is numeric)"
    return (
        f"No parameters were given: the default space for {len(table.rest):,} rows is searched: preset "
        f"{written['preset']} with {beside}{why}{without}{_in_time(spec)}. `foldstep run` with --print-spec prints it; "
        "`parameters: {}` trains one network with the defaults of all parameters."
    )


def _in_time(spec: Spec) -> str:
    return "" if spec.budget.time is None else f", for a search of {spec.budget.time:g} s"


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['value']} with {' and '.join(f'{name} {of}' for name, of in value['when'].items())}"
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


# -- the metric -------------------------------------------------------------------------------------------------------


def _metric(spec: Spec, table: Table) -> tuple[str, str] | None:
    """Choose the metric of one target, and say why; None where the default of the task is taken."""
    if table.target is None or spec.data.quantiles is not None:
        return None
    if table.task == "classification":
        return "log_loss", _log_loss_note(table.target, table.rest)
    if table.task == "regression" and is_of_counts(table.target, table.rest):
        return "poisson_deviance", (
            "No metric was given: poisson_deviance ranks the trials, for the target has whole numbers from 0 on, most "
            "of them small; `metric: rmse` says otherwise."
        )
    return None


def is_of_counts(target: ColumnValues, rows: Rows) -> bool:
    """Tell whether a target seems to count something: whole numbers, 0 the least and among them, with a long tail."""
    if not isinstance(target, NumberColumn):
        return False
    values = target.values[rows]
    if not len(values) or not np.isfinite(values).all() or values.min() != 0 or (values != np.floor(values)).any():
        return False
    spread = float(values.std())
    return spread > 0 and float(np.mean(((values - values.mean()) / spread) ** 3)) >= SKEWED


def _log_loss_note(target: ColumnValues, rest: Rows) -> str:
    """Say why classes are ranked by log_loss, and what else there is where they are very unequal.

    It stays log_loss there: it has a value in every fold, looks at all rows, and no constant answer looks good in it;
    roc_auc has none in a fold without one of the classes, and depends on the few rows of the rare one alone.
    """
    note = "No metric was given: log_loss ranks the trials, for it tells more of them apart than accuracy"
    counts = _class_rows(target, rest)
    if counts and max(counts) / sum(counts) >= unequal_from(len(counts)):
        share = f"{100 * max(counts) / sum(counts):.3g} %"
        return f"{note}, also where one class has {share} of the rows; `metric: roc_auc` ranks by order alone."
    return f"{note}; `metric: accuracy` says otherwise."


# -- the validation ---------------------------------------------------------------------------------------------------


def _class_rows(target: ColumnValues | None, rest: Rows) -> list[int]:
    """Count the rows of each class outside of the test part; a class without any there is one, too."""
    if target is None:
        return []
    labels = labels_of(target)
    there = np.bincount(labels[rest][labels[rest] >= 0], minlength=int(labels.max(initial=-1)) + 1)
    return [int(n) for n in there]


def _cv(table: Table) -> CvSpec:
    return default_cv(len(table.rest), _rows_of_classes(table))


def _rows_of_classes(table: Table) -> list[int]:
    return _class_rows(table.target, table.rest) if table.task == "classification" else []


def _cv_note(cv: CvSpec, table: Table) -> str:
    n_rows = f"{len(table.rest):,} rows"
    if cv.holdout is not None:
        said = f"{100 * cv.holdout:g} % of {n_rows} are held out, as there are at least {MANY_ROWS:,}"
    elif cv.repeats > 1:
        said = f"{cv.folds} folds, drawn {cv.repeats} times, for {n_rows}, as there are fewer than {FEW_ROWS:,}"
    else:
        said = f"{cv.folds} folds for {n_rows}"
    return f"No cv was given: {said}{_of_rare_classes(cv, table)}; `cv: {{folds: …}}` says otherwise."


def _of_rare_classes(cv: CvSpec, table: Table) -> str:
    rarest = min(_rows_of_classes(table), default=FOLDS)
    rows = "a single row" if rarest == 1 else f"{rarest} rows"
    if cv.stratify is False:
        return f"; they do not keep the classes in proportion, as the rarest has {rows}"
    return f"; not {FOLDS}, as the rarest class has {rows}" if cv.folds is not None and rarest < FOLDS else ""
