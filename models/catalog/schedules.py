"""The schedules of the learning rate: when each of them changes the rate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    Attributes:
        moves: when the rate changes: never, from epoch to epoch, with every step, or depending on the validation score.
        reads: the hyperparameters that its formula depends on, beside those of every schedule.
    """

    moves: Literal["never", "by_epoch", "by_step", "by_score"]
    reads: tuple[str, ...] = ()

    @property
    def ends_low(self) -> bool:
        """Whether the rate may be close to zero in the last epoch, independently of the scores."""
        return self.moves in ("by_epoch", "by_step")


SCHEDULES: Mapping[str, Schedule] = {
    "constant": Schedule("never"),
    "step": Schedule("by_epoch", reads=("decay", "decay_epochs")),
    "exponential": Schedule("by_epoch", reads=("decay", "decay_epochs")),
    "inverse_time": Schedule("by_epoch", reads=("decay_epochs",)),
    "inverse_sqrt": Schedule("by_epoch", reads=("decay_epochs",)),
    "linear": Schedule("by_epoch", reads=("lr_floor",)),
    "cosine": Schedule("by_epoch", reads=("lr_floor",)),
    "cosine_restarts": Schedule("by_epoch", reads=("cycle_epochs", "cycle_growth", "lr_floor")),
    "trapezoidal": Schedule("by_step", reads=("cooldown", "lr_floor")),
    "cyclical": Schedule("by_step", reads=("cycle_epochs", "lr_floor")),
    "one_cycle": Schedule("by_step", reads=("cooldown",)),
    "coslog": Schedule("by_step", reads=("lr_floor",)),
    "flat_cosine": Schedule("by_step", reads=("lr_floor",)),
    "plateau": Schedule("by_score", reads=("decay", "decay_epochs")),
}
"""By the value of the hyperparameter `schedule`, in the order of the documentation."""

COURSES = ("constant", "coslog", "flat_cosine")
"""The courses of dropout and weight decay over a training: values of `dropout_schedule` and `decay_schedule`."""
