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
    """

    moves: Literal["never", "by_epoch", "by_step", "by_score"]

    @property
    def ends_low(self) -> bool:
        """Whether the rate may be close to zero in the last epoch, independently of the scores."""
        return self.moves in ("by_epoch", "by_step")


SCHEDULES: Mapping[str, Schedule] = {
    "constant": Schedule("never"),
    "step": Schedule("by_epoch"),
    "exponential": Schedule("by_epoch"),
    "inverse_time": Schedule("by_epoch"),
    "inverse_sqrt": Schedule("by_epoch"),
    "linear": Schedule("by_epoch"),
    "cosine": Schedule("by_epoch"),
    "cosine_restarts": Schedule("by_epoch"),
    "trapezoidal": Schedule("by_step"),
    "cyclical": Schedule("by_step"),
    "one_cycle": Schedule("by_step"),
    "plateau": Schedule("by_score"),
}
"""By the value of the hyperparameter `schedule`, in the order of the documentation."""
