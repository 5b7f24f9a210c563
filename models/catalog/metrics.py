"""Describe every metric: its task, whether high or low scores are better, its bounds, and its demands on the data.

The functions are in `models/metrics.py`, whose import fails while a metric of this table has no function. A new metric
is an entry here, its function there, and `python -m docs.make`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from foldstep.models.catalog.tasks import Least, Task

MeanOf: TypeAlias = Literal["right", "squares", "distances"]
"""The quantity that is averaged over the rows: right predictions (0 or 1), squared errors, absolute errors."""

TWEEDIE_POWER = 1.5
"""The power of the metric `tweedie_deviance`, which is one for all trials of a search."""
LEAST_MEAN = 1e-9
"""What a prediction is raised to where a deviance needs one above 0."""


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
        least_target: the least target that has a score.
        has_order: whether the order of the classes matters.
        has_levels: whether it scores all quantiles of a search, `data.quantiles`.
        needs_two_values: whether rows whose targets are all equal have no score.
        within: the number of most probable classes among which the true one counts as found; there must be more.
        averages_classes: whether the classes count alike, so that a class without rows changes what a score means.
        is_of_second_class: whether the score of two classes is the second one's alone.
        is_of_classes: whether it looks at the predicted classes alone, not at their probabilities.
        rewards_commonest_class: whether always predicting a class that most rows have gets a score that looks good.
    """

    name: str
    meaning: str
    task: Task
    direction: Direction
    is_at_most_one: bool = False
    mean_of: MeanOf | None = None
    over_classes: str | None = None
    least_target: Least = "any"
    has_order: bool = False
    has_levels: bool = False
    needs_two_values: bool = False
    within: int = 1
    averages_classes: bool = False
    is_of_second_class: bool = False
    is_of_classes: bool = False
    rewards_commonest_class: bool = False

    @property
    def suits_any_target(self) -> bool:
        """Whether it scores every target of its task, and predictions of one value."""
        return self.least_target == "any" and not self.has_order and not self.has_levels and self.within == 1

    @property
    def undefined_where(self) -> str | None:
        """Where it has no finite value for finite predictions, in words; None if it always has one."""
        if self.task == "classification":
            return "all validation rows of the fold have the same class" if self.needs_two_values else None
        if self.needs_two_values:
            return "the validation targets of the fold are equal, or far closer than the predictions are to them"
        return "its errors are too large for double precision; divide the target by a power of ten"


def _top(k: int) -> Metric:
    meaning = f"share of the rows whose true class is among the {k} most probable ones"
    return Metric(f"top_{k}_accuracy", meaning, "classification", Direction.MAXIMIZE, is_at_most_one=True, within=k,
                  rewards_commonest_class=True)  # fmt: skip


def _by_name(entries: Iterable[Metric]) -> dict[str, Metric]:
    return {entry.name: entry for entry in entries}


METRICS: dict[str, Metric] = _by_name(
    [
        Metric("accuracy", "share of the rows that are predicted right", "classification", Direction.MAXIMIZE,
               is_at_most_one=True, mean_of="right", is_of_classes=True, rewards_commonest_class=True),
        Metric("balanced_accuracy", "mean over the classes of the share of their rows that are predicted right",
               "classification", Direction.MAXIMIZE, is_at_most_one=True, averages_classes=True, is_of_classes=True),
        Metric("f1", "harmonic mean of precision and recall; of two classes the second one's", "classification",
               Direction.MAXIMIZE, is_at_most_one=True, over_classes="each class's own", averages_classes=True,
               is_of_second_class=True, is_of_classes=True, rewards_commonest_class=True),
        Metric("roc_auc", "area under the receiver operating characteristic", "classification", Direction.MAXIMIZE,
               is_at_most_one=True, over_classes="each class against the rest", needs_two_values=True,
               averages_classes=True),
        Metric("pr_auc", "average precision: area under the curve of precision by recall", "classification",
               Direction.MAXIMIZE, is_at_most_one=True, over_classes="each class against the rest",
               needs_two_values=True, averages_classes=True, is_of_second_class=True),
        Metric("mcc", "Matthews' correlation of predicted and true classes", "classification", Direction.MAXIMIZE,
               is_at_most_one=True, is_of_classes=True),
        Metric("log_loss", "mean negative logarithm of the probability of the true class", "classification",
               Direction.MINIMIZE),
        Metric("brier", "mean squared distance of the probabilities from the true class; of two classes half of it",
               "classification", Direction.MINIMIZE),
        Metric("ordinal_mae", "mean distance of the predicted class from the true one, in steps of their order",
               "classification", Direction.MINIMIZE, has_order=True, is_of_classes=True),
        *(_top(k) for k in (2, 3, 5, 10)),
        Metric("rmse", "root of the mean squared error", "regression", Direction.MINIMIZE, mean_of="squares"),
        Metric("mse", "mean squared error", "regression", Direction.MINIMIZE, mean_of="squares"),
        Metric("mae", "mean absolute error", "regression", Direction.MINIMIZE, mean_of="distances"),
        Metric("r2", "share of the target's variance that is explained", "regression", Direction.MAXIMIZE,
               is_at_most_one=True, mean_of="squares", needs_two_values=True),
        Metric("mape", "mean absolute error as a share of the target", "regression", Direction.MINIMIZE,
               least_target="above_zero"),
        Metric("rmsle", "root of the mean squared error of log(1 + target); a prediction below 0 counts as 0",
               "regression", Direction.MINIMIZE, least_target="zero"),
        Metric("pinball", "mean pinball loss of the quantiles in data.quantiles, else of the median", "regression",
               Direction.MINIMIZE, has_levels=True),
        Metric("poisson_deviance", "mean deviance of counts from a Poisson distribution", "regression",
               Direction.MINIMIZE, least_target="zero"),
        Metric("gamma_deviance", "mean deviance of amounts from a gamma distribution", "regression",
               Direction.MINIMIZE, least_target="above_zero"),
        Metric("tweedie_deviance", "mean deviance of sums of amounts from a Tweedie distribution of power 1.5",
               "regression", Direction.MINIMIZE, least_target="zero"),
    ]
)  # fmt: skip


DEFAULT_OF_LABELS, DEFAULT_OF_NUMBERS = "log_loss", "r2"
"""The metrics of several labels, and of several numbers, where none is named: rare labels flatter no log loss, and R²
has no unit, so that the mean over targets weighs each alike."""


def metrics_of(task: Task) -> tuple[str, ...]:
    """List the metrics of a task, its default first; of labels those of classes that score any of them."""
    if task == "multilabel":
        return _first(DEFAULT_OF_LABELS, (m for m in METRICS.values() if m.task == "classification"))
    return tuple(metric.name for metric in METRICS.values() if metric.task == task)


def metrics_of_numbers() -> tuple[str, ...]:
    """List the metrics of a regression that are averaged over several targets, the default first."""
    return _first(DEFAULT_OF_NUMBERS, (m for m in METRICS.values() if m.task == "regression"))


def _first(default: str, metrics: Iterable[Metric]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([default, *(m.name for m in metrics if m.suits_any_target)]))
