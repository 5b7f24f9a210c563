"""The losses that training minimises: the task of each, and the meaning of a network's output under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from foldstep.models.catalog.backends import EVERY_BACKEND, NOT_FUSED, Backend
from foldstep.models.catalog.tasks import Least, Task

Link: TypeAlias = Literal["identity", "log"]


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        task: the task that it belongs to; the first loss of a task is its default.
        link: meaning of an output: the standardised target (identity), or the logarithm of the target's mean (log).
        number: the hyperparameter that its formula depends on; None for none.
        smooths: whether `label_smoothing` changes it.
        least_target: the least target that it allows.
        has_order: whether the order of the classes matters.
        has_levels: whether it has an output for each quantile of the search, `data.quantiles`.
        has_targets: whether it is the mean over several targets, with an output for each.
        backends: the backends that implement it.
    """

    task: Task
    link: Link = "identity"
    number: str | None = None
    smooths: bool = False
    least_target: Least = "any"
    has_order: bool = False
    has_levels: bool = False
    has_targets: bool = False
    backends: frozenset[Backend] = EVERY_BACKEND

    @property
    def has_exposure(self) -> bool:
        """Whether each row's mean may be a rate times an exposure, as for counts."""
        return self.link == "log"


MEDIAN = (0.5,)
"""The level of the quantile that is learned where a search names none."""

LOSSES: Mapping[str, Loss] = {
    "cross_entropy": Loss("classification", smooths=True),
    "hinge": Loss("classification", backends=NOT_FUSED),
    "focal": Loss("classification", number="focal_gamma", backends=NOT_FUSED),
    "ordinal": Loss("classification", has_order=True, backends=NOT_FUSED),
    "mse": Loss("regression", has_targets=True),
    "mae": Loss("regression", has_targets=True),
    "huber": Loss("regression", number="huber_delta", has_targets=True),
    "quantile": Loss("regression", has_levels=True, backends=NOT_FUSED),
    "poisson": Loss("regression", link="log", least_target="zero"),
    "gamma": Loss("regression", link="log", least_target="above_zero"),
    "tweedie": Loss("regression", link="log", number="tweedie_power", least_target="zero"),
    "label_cross_entropy": Loss("multilabel", smooths=True, has_targets=True, backends=NOT_FUSED),
}
"""By the value of the hyperparameter `loss`, in the order of the documentation; backends number them in this order."""

LOSSES_OF_TASK: Mapping[Task, tuple[str, ...]] = {
    task: tuple(name for name, loss in LOSSES.items() if loss.task == task) for task in get_args(Task)
}
"""The losses of each task; the first is its default."""
