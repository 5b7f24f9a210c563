"""Gather what the steps of a pack read and change, whichever backend takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foldstep.models.catalog.tasks import Task
from foldstep.models.class_numbers import ClassNumbers
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
        of_classes: for each member the numbers of its classes.
        levels: of the search's quantiles; none for the median.
        n_rows: rows of a full batch.
        task: the task of the search.
    """

    net: PackedFNN
    optimizer: PackedOptimizer
    average: WeightAverage | None
    best: Stack
    of_classes: Sequence[ClassNumbers]
    levels: Sequence[float]
    n_rows: int
    task: Task
