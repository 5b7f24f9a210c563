"""Describe every metric: its task, which way is better, its bounds, and what the data must have for it.

The functions are in `models/metrics.py`, which cannot be imported while a metric of this table has none. A new metric
is an entry here, its function there, and `python -m docs.make`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from foldstep.models.catalog.tasks import Task

MeanOf: TypeAlias = Literal["right", "squares", "distances"]
"""What a mean over the rows can be of: right predictions, squared errors, absolute errors."""


class Direction(StrEnum):
    """Which scores are better: greater ones, or smaller ones.

    Everything that compares scores does it through these methods, so the sign is turned nowhere else.
    """

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def loss_of(self, score: float) -> float:
        """Turn a score into a loss: less is better, whatever the metric."""
        return -score if self is Direction.MAXIMIZE else score

    def score_of(self, loss: float) -> float:
        """Turn a loss back into the score that it comes from."""
        return self.loss_of(loss)  # turning the sign twice is turning it back

    def is_better(self, score: float, than: float) -> bool:
        """Tell whether a score beats another; an equal one does not."""
        return self.loss_of(score) < self.loss_of(than)


@dataclass(frozen=True)
class Metric:
    """One entry of the table.

    Attributes:
        name: what a user writes.
        meaning: one line for the documentation.
        task: whose predictions it scores; the first entry of a task is its default.
        direction: which scores are better.
        is_at_most_one: whether no score is above 1, so that names of files need one digit before the point.
        mean_of: what the mean over the rows is of that decides it; None where no such mean does. How it follows is in
            `models/metrics.py`.
        over_classes: for more than two classes, what it is the mean of; None where it needs no telling.
        needs_nonnegative_target: whether a target below 0 has no score.
    """

    name: str
    meaning: str
    task: Task
    direction: Direction
    is_at_most_one: bool = False
    mean_of: MeanOf | None = None
    over_classes: str | None = None
    needs_nonnegative_target: bool = False


def _by_name(entries: Iterable[Metric]) -> dict[str, Metric]:
    return {entry.name: entry for entry in entries}


METRICS: dict[str, Metric] = _by_name(
    [
        Metric("accuracy", "share of the rows that are predicted right", "classification", Direction.MAXIMIZE,
               is_at_most_one=True, mean_of="right"),
        Metric("balanced_accuracy", "mean over the classes of the share of their rows that are predicted right",
               "classification", Direction.MAXIMIZE, is_at_most_one=True),
        Metric("f1", "harmonic mean of precision and recall; of two classes the second one's", "classification",
               Direction.MAXIMIZE, is_at_most_one=True, over_classes="each class's own"),
        Metric("roc_auc", "area under the receiver operating characteristic", "classification", Direction.MAXIMIZE,
               is_at_most_one=True, over_classes="each class against the rest"),
        Metric("log_loss", "mean negative logarithm of the probability of the true class", "classification",
               Direction.MINIMIZE),
        Metric("rmse", "root of the mean squared error", "regression", Direction.MINIMIZE, mean_of="squares"),
        Metric("mse", "mean squared error", "regression", Direction.MINIMIZE, mean_of="squares"),
        Metric("mae", "mean absolute error", "regression", Direction.MINIMIZE, mean_of="distances"),
        Metric("r2", "share of the target's variance that is explained", "regression", Direction.MAXIMIZE,
               is_at_most_one=True, mean_of="squares"),
        Metric("poisson_deviance", "mean deviance of counts from a Poisson distribution", "regression",
               Direction.MINIMIZE, needs_nonnegative_target=True),
    ]
)  # fmt: skip


def metrics_of(task: Task) -> tuple[str, ...]:
    """List the metrics of a task, its default first."""
    return tuple(metric.name for metric in METRICS.values() if metric.task == task)
