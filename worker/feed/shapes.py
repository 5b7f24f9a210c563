"""Compute the numbers that determine the shape of a step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage

EVALUATION_COLUMNS = 128
"""Number of validation rows in a chunk; a constant, so that scores do not depend on the pack."""
_COLUMN_QUANTUM = 8


@dataclass(frozen=True)
class FoldShape:
    """The sizes of one fold under one preparation.

    Attributes:
        n_train: number of training rows.
        n_valid: number of validation rows.
        n_inputs: number of inputs, without padding.
        n_held: number of rows for which the outputs of every member are kept; None for `n_valid`.
        stage: the input stage of the member that the shape is for; None for none.
    """

    n_train: int
    n_valid: int
    n_inputs: int
    n_held: int | None = None
    stage: InputStage | None = None

    @property
    def n_first(self) -> int:
        """Number of values that the first layer reads, without padding."""
        return self.n_inputs if self.stage is None else self.stage.n_units


def columns_of(batch_size: int) -> int:
    """Count the columns of a batch: its rows, filled up to a multiple of the vector width."""
    return math.ceil(batch_size / _COLUMN_QUANTUM) * _COLUMN_QUANTUM


def n_batches(n_rows: int, batch_size: int) -> int:
    """Count the steps of an epoch; the last batch may be short."""
    return math.ceil(n_rows / batch_size)


def effective_batch(hp: Hyperparameters, n_rows: int) -> int:
    """Count the rows of a full batch: the batch size, but at most `n_rows`."""
    return min(hp.batch_size, n_rows)
