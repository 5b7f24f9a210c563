"""The targets of a search, one or several: their coding, what networks learn of them, and the truth.

Of several targets each has a coder of its own, `TargetCoder.each`. Numbers are learned standardised, each by itself;
of a label, a target of two classes, the log odds of the second class are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import ColumnValues
from foldstep.service.contract.draws import Rows
from foldstep.worker.data.target import TargetCoder

Columns = Sequence[ColumnValues]


def fit(
    columns: Columns,
    train_rows: Rows,
    task: Task,
    how: Preparation,
    exposure: npt.NDArray[np.float64] | None = None,
    quantiles: tuple[float, ...] = (),
) -> TargetCoder:
    """Fit the coder of the targets, see `TargetCoder.fit`.

    Args:
        columns: the targets.
        train_rows: the training part.
        task: the search's.
        how: of each target.
        exposure: of each training row; of one target alone.
        quantiles: of one target alone.
    """
    if task != "multilabel" and len(columns) == 1:
        return TargetCoder.fit(columns[0], train_rows, task, how, exposure, quantiles)
    of_one: Task = "classification" if task == "multilabel" else task
    return TargetCoder(None, each=tuple(TargetCoder.fit(column, train_rows, of_one, how) for column in columns))


def encode(coder: TargetCoder, columns: Columns, rows: Rows) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
    """Encode what networks learn, (rows,), or of several float32 (rows, targets): see `TargetCoder.encode`."""
    if not coder.each:
        return coder.encode(columns[0], rows)
    learned = [one.encode(column, rows) for one, column in zip(coder.each, columns, strict=True)]
    return np.stack(learned, axis=1).astype(np.float32)


def truth(coder: TargetCoder, columns: Columns, rows: Rows) -> npt.NDArray[Any]:
    """Return what predictions are scored against, (rows,), or of several (rows, targets): see `TargetCoder.truth`."""
    if not coder.each:
        return coder.truth(columns[0], rows)
    return np.stack([one.truth(column, rows) for one, column in zip(coder.each, columns, strict=True)], axis=1)
