"""Gather what the steps of a pack read and change, whichever backend takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.tasks import Task
from foldstep.models.eager.averaging import WeightAverage
from foldstep.models.eager.optim import PackedOptimizer
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.stack import Stack


@dataclass(frozen=True)
class PackParts:
    """The parts of a pack that its steps read and change.

    Attributes:
        net: their network.
        optimizer: its optimizer.
        average: the running average of its weights; None if no member has one.
        best: stack of the weights of each member's best epoch.
        class_weights: for each member the weights of its classes, (classes,); None for equal weights.
        n_rows: rows of a full batch.
        task: `classification` or `regression`.
    """

    net: PackedFNN
    optimizer: PackedOptimizer
    average: WeightAverage | None
    best: Stack
    class_weights: Sequence[npt.NDArray[np.float64] | None]
    n_rows: int
    task: Task
