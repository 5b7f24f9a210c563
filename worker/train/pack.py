"""The members of a search, and the numbers that give their steps a shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.stack import Weights
from foldstep.worker.train.stopping import End, Progress

EVALUATION_COLUMNS = 128
"""Validation rows are scored in chunks of this size: a constant, for the chunk must not depend on the pack."""
_COLUMN_QUANTUM = 8


@dataclass
class TrainingState:
    """What it takes to go on with a member after its last epoch: all without padding.

    Attributes:
        best: the weights of its best epoch.
        optimizer: what its update rule remembers, by name.
        average: the running average of its weights; None where the pack had none.
        good: where it goes back to should it diverge; None where that is this state, or it would not go back.
    """

    parameters: Weights
    best: Weights
    optimizer: dict[str, Weights]
    average: Weights | None
    good: TrainingState | None = None


@dataclass
class Member:
    """One network in training: one fold of one trial.

    Attributes:
        state: where to go on from; None before the first epoch.
        until: the epoch at which it waits; None to train to its end.
        legs: the epochs of earlier stages that it came through, or comes through, each under its own schedule.
        keep_state: whether its last epoch leaves its state, for a later stage to go on from.
    """

    trial: int
    fold: int
    hp: Hyperparameters
    progress: Progress = field(default_factory=Progress)
    state: TrainingState | None = None
    until: int | None = None
    legs: tuple[int, ...] = ()
    keep_state: bool = False
    _remembered: Progress | None = field(default=None, compare=False, repr=False)

    def remember(self) -> None:
        """Note that `state` is of the present epoch."""
        self._remembered = self.progress.copy()

    def go_back(self) -> None:
        """Forget the epochs since `state`; the time that they took stays counted."""
        assert self._remembered is not None
        self._remembered.seconds = self.progress.seconds
        self.progress = self._remembered.copy()

    @property
    def needs_state(self) -> bool:
        """Whether it, or a trial that continues its own, goes on from where it stands."""
        return self.progress.end is None or (self.keep_state and self.progress.end is End.EPOCHS)

    def epochs_at(self, epoch: int) -> int:
        """The epochs over which the schedule runs at an epoch: those of its leg."""
        return next((leg for leg in self.legs if epoch <= leg), self.hp.epochs)

    @property
    def is_resting(self) -> bool:
        """Whether there is nothing to train for now: it has ended, or waits."""
        return self.progress.end is not None or (self.until is not None and self.progress.epoch >= self.until)

    @property
    def key(self) -> tuple[int, int]:
        """What the member is known by within its search."""
        return (self.trial, self.fold)


@dataclass(frozen=True)
class FoldShape:
    """The numbers of one fold under one scaler.

    Attributes:
        n_held: rows for which every member's outputs are held; the validation rows when left out.
    """

    n_train: int
    n_valid: int
    n_inputs: int
    n_held: int | None = None


def columns_of(batch_size: int) -> int:
    """Columns of a batch: its rows, filled up to a multiple of the vector width."""
    return math.ceil(batch_size / _COLUMN_QUANTUM) * _COLUMN_QUANTUM


def n_batches(n_rows: int, batch_size: int) -> int:
    """Steps an epoch; the last batch may be short."""
    return math.ceil(n_rows / batch_size)


def effective_batch(hp: Hyperparameters, n_rows: int) -> int:
    """The rows of a full batch: never more than there are."""
    return min(hp.batch_size, n_rows)
