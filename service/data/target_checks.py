"""Check that a column can be a target: its values, and that every row has one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.folds import is_missing
from foldstep.service.data.roles import missing_hint


def distinct(target: ColumnValues) -> list[str] | list[float]:
    """List the different values of a target, without missing ones."""
    if isinstance(target, CategoryColumn):
        return list(target.labels)
    return [float(v) for v in np.unique(target.values[~np.isnan(target.values)])]


def target_faults(
    name: str, target: ColumnValues, task: Task | None, description: DatasetDescription, *, of_several: bool
) -> Iterator[Fault]:
    """Find what keeps a column from being a target.

    Args:
        name: of the column.
        target: its values.
        task: as the spec says; None where it says nothing.
        description: of the data.
        of_several: whether it is one of several targets, whose rows without a value are left out.
    """
    fault, of = partial(Fault, path="data.target"), f" in {name}" if of_several else ""
    is_text, present = isinstance(target, CategoryColumn), distinct(target)
    if isinstance(target, DateColumn):
        expected, hint = "a target of numbers or classes", "name another column"
        yield fault(code="wrong_type", expected=expected, got=f"dates{of}", hint=hint)
    if not of_several and (n_missing := int(is_missing(target).sum())):
        got = f"{n_missing} row{'s' if n_missing > 1 else ''} without one"
        hint = missing_hint(description, name)
        yield fault(code="missing_values", expected="a value in every row", got=got, hint=hint)
    if not is_text and np.isinf(np.asarray(present, dtype=float)).any():
        got, hint = f"an infinite one{of}", "remove those rows"
        yield fault(code="not_finite", expected="finite numbers", got=got, hint=hint)
    if len(present) < 2:
        got, hint = f"only {present[0]}{of}" if present else f"none{of}", "name another column"
        yield fault(code="constant_target", expected="at least two different values", got=got, hint=hint)
    if is_text and task == "regression" and not of_several:
        got, hint = f"text such as {present[0]!r}" if present else "text", "leave data.task out"
        expected = "a target of numbers for a regression"
        yield Fault(code="contradiction", path="data.task", expected=expected, got=got, hint=hint)
