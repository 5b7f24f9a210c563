"""Describe every metric: its task, whether high or low scores are better, its bounds, and its demands on the data.

The functions are in `models/metrics.py`, whose import fails while a metric of this table has no function. A new metric
is an entry here, its function there, and `python -m docs.make`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from foldstep.models.catalog.tasks import Task

MeanOf: TypeAlias = Literal["right", "squares", "distances"]
"""The quantity that is averaged over the rows: right predictions (0 or 1), squared errors, absolute errors."""


class Direction(StrEnum):
    """The direction in which scores become better: greater (maximize) or smaller (minimize).

    Code compares scores only through these methods, so the sign of a score is turned nowhere else.
    """

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"

    def loss_of(self, score: float) -> float:
        """Turn a score into a loss: a number of which less is better, for every metric."""
        return -score if self is Direction.MAXIMIZE else score

    def score_of(self, loss: float) -> float:
        """Turn a loss of `loss_of` back into the score."""
        return self.loss_of(loss)  # negation is its own inverse

    def is_better(self, score: float, than: float) -> bool:
        """Tell whether a score beats another; an equal one does not."""
        return self.loss_of(score) < self.loss_of(than)


@dataclass(frozen=True)
class Metric:
    """One entry of the table.

    Attributes:
        name: the name that a user writes in a spec.
        meaning: its description in the documentation, one line.
        task: the task that it belongs to; the first metric of a task is its default.
        direction: whether greater or smaller scores are better.
        is_at_most_one: whether no score is above 1; such scores need one digit before the point in names of files.
        mean_of: the quantity whose mean over the rows determines the metric, by a formula in `models/metrics.py`; None
            if no such mean determines it.
        over_classes: for more than two classes, the quantity that is averaged over the classes; None if there is
            nothing to explain.
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
