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
        needs_two_values: whether rows whose targets are all equal have no score.
        averages_classes: whether the classes count alike, so that a class without rows changes what a score means.
        is_of_second_class: whether the score of two classes is the second one's alone.
        rewards_commonest_class: whether always predicting a class that most rows have gets a score that looks good.
    """

    name: str
    meaning: str
    task: Task
    direction: Direction
    is_at_most_one: bool = False
    mean_of: MeanOf | None = None
    over_classes: str | None = None
    needs_nonnegative_target: bool = False
    needs_two_values: bool = False
    averages_classes: bool = False
    is_of_second_class: bool = False
    rewards_commonest_class: bool = False

    @property
    def undefined_where(self) -> str | None:
        """Where it has no finite value for finite predictions, in words; None if it always has one."""
        if self.task == "classification":
            return "all validation rows of the fold have the same class" if self.needs_two_values else None
        if self.needs_two_values:
            return "the validation targets of the fold are equal, or far closer than the predictions are to them"
        return "its errors are too large for double precision; divide the target by a power of ten"


def _by_name(entries: Iterable[Metric]) -> dict[str, Metric]:
    return {entry.name: entry for entry in entries}


METRICS: dict[str, Metric] = _by_name(
    [
        Metric("accuracy", "share of the rows that are predicted right", "classification", Direction.MAXIMIZE,
               is_at_most_one=True, mean_of="right", rewards_commonest_class=True),
        Metric("balanced_accuracy", "mean over the classes of the share of their rows that are predicted right",
               "classification", Direction.MAXIMIZE, is_at_most_one=True, averages_classes=True),
        Metric("f1", "harmonic mean of precision and recall; of two classes the second one's", "classification",
               Direction.MAXIMIZE, is_at_most_one=True, over_classes="each class's own", averages_classes=True,
               is_of_second_class=True, rewards_commonest_class=True),
        Metric("roc_auc", "area under the receiver operating characteristic", "classification", Direction.MAXIMIZE,
               is_at_most_one=True, over_classes="each class against the rest", needs_two_values=True,
               averages_classes=True),
        Metric("log_loss", "mean negative logarithm of the probability of the true class", "classification",
               Direction.MINIMIZE),
        Metric("rmse", "root of the mean squared error", "regression", Direction.MINIMIZE, mean_of="squares"),
        Metric("mse", "mean squared error", "regression", Direction.MINIMIZE, mean_of="squares"),
        Metric("mae", "mean absolute error", "regression", Direction.MINIMIZE, mean_of="distances"),
        Metric("r2", "share of the target's variance that is explained", "regression", Direction.MAXIMIZE,
               is_at_most_one=True, mean_of="squares", needs_two_values=True),
        Metric("poisson_deviance", "mean deviance of counts from a Poisson distribution", "regression",
               Direction.MINIMIZE, needs_nonnegative_target=True),
    ]
)  # fmt: skip


def metrics_of(task: Task) -> tuple[str, ...]:
    """List the metrics of a task, its default first."""
    return tuple(metric.name for metric in METRICS.values() if metric.task == task)
