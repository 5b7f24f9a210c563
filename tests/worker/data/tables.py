"""Tables and problems for the tests of the worker's data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foldstep.service.contract.columns import ColumnValues, NumberColumn, category_column
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.spec import MetricSpec
from foldstep.worker.data.load import Table


def numbers(values: Sequence[float | None] | np.ndarray[Any, Any]) -> NumberColumn:
    """Make a column of numbers; None is missing."""
    return NumberColumn(np.array([np.nan if v is None else v for v in values], dtype=np.float64))


def texts(values: Sequence[str | None]) -> ColumnValues:
    """Make a column of text; None is missing."""
    labels = sorted({v for v in values if v is not None})
    return category_column(np.array([-1 if v is None else labels.index(v) for v in values]), labels)


def table_of(**columns: ColumnValues) -> Table:
    """Make a table of these columns."""
    return Table(columns)


def problem_of(
    *, task: str = "classification", cv: dict[str, Any] | None = None, seed: int = 0, **data: Any
) -> LearningProblem:
    """Make the learning problem of a search over a table whose target is `y`."""
    raw = {"name": "t", "data": {"dataset": "d", "target": "y", "task": task, **data}, "cv": cv or {"folds": 5}}
    spec = parse_spec(raw)
    assert spec.data.task is not None
    return LearningProblem(
        fingerprint="f",
        task=spec.data.task,
        target="y",
        metric=MetricSpec(name="accuracy" if task == "classification" else "rmse"),
        data=spec.data,
        cv=spec.cv,
        seed=seed,
        n_folds=(spec.cv.folds or 1) * spec.cv.repeats,
        n_rows=None,
        n_inputs=None,
        n_outputs=None,
        reading=None,
        baseline=None,
    )
