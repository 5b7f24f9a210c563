"""Computes the numbers that give a step its shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foldstep.models.hyperparameters import Hyperparameters

EVALUATION_COLUMNS = 128
"""Validation rows are scored in chunks of this size: a constant, for the chunk must not depend on the pack."""
_COLUMN_QUANTUM = 8


@dataclass(frozen=True)
class FoldShape:
    """The numbers of one fold under one scaler.

    Attributes:
        n_held: rows for which every member's outputs are held; the validation rows when left out.
    """

    n_train: int
    n_valid: int
    n_inputs: int
    n_held: int | None = None


def columns_of(batch_size: int) -> int:
    """Count the columns of a batch: its rows, filled up to a multiple of the vector width."""
    return math.ceil(batch_size / _COLUMN_QUANTUM) * _COLUMN_QUANTUM


def n_batches(n_rows: int, batch_size: int) -> int:
    """Count the steps of an epoch; the last batch may be short."""
    return math.ceil(n_rows / batch_size)


def effective_batch(hp: Hyperparameters, n_rows: int) -> int:
    """Count the rows of a full batch: never more than there are."""
    return min(hp.batch_size, n_rows)
