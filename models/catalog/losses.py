"""The losses that training minimises: the task of each, and the meaning of a network's output under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from foldstep.models.catalog.backends import EVERY_BACKEND, Backend
from foldstep.models.catalog.tasks import Task

Link: TypeAlias = Literal["identity", "log"]


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        task: the task that it belongs to; the first loss of a task is its default.
        link: meaning of an output: the standardised target (identity), or the logarithm of a count's mean (log).
        bends: whether it depends on `huber_delta`.
        backends: the backends that implement it.
    """

    task: Task
    link: Link = "identity"
    bends: bool = False
    backends: frozenset[Backend] = EVERY_BACKEND

    @property
    def counts(self) -> bool:
        """Whether targets are counts: at least 0, optionally with an exposure for each row."""
        return self.link == "log"


LOSSES: Mapping[str, Loss] = {
    "cross_entropy": Loss("classification"),
    "mse": Loss("regression"),
    "mae": Loss("regression"),
    "huber": Loss("regression", bends=True),
    "poisson": Loss("regression", link="log"),
}
"""By the value of the hyperparameter `loss`, in the order of the documentation; backends number them in this order."""

LOSSES_OF_TASK: Mapping[Task, tuple[str, ...]] = {
    task: tuple(name for name, loss in LOSSES.items() if loss.task == task) for task in get_args(Task)
}
"""The losses of each task; the first is its default."""
