"""Holds the members of a search, one network in training each, and the snapshots that resume them."""

from __future__ import annotations

from dataclasses import dataclass, field

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.stack import Weights
from foldstep.worker.train.stopping import End, Progress


@dataclass
class Snapshot:
    """Everything that resumes a member after its last epoch, without padding.

    Attributes:
        best: the weights of its best epoch.
        optimizer: what its update rule remembers, by name.
        average: the running average of its weights; None where the pack had none.
        good: where it goes back to should it diverge; None where that is this snapshot, or it would not go back.
    """

    parameters: Weights
    best: Weights
    optimizer: dict[str, Weights]
    average: Weights | None
    good: Snapshot | None = None


@dataclass
class Member:
    """One network in training: one fold of one trial.

    Attributes:
        snapshot: where to go on from; None before the first epoch.
        until: the epoch at which it waits; None to train to its end.
        legs: the epochs of earlier stages that it came through, or comes through, each under its own schedule.
        keep_snapshot: whether its last epoch leaves its snapshot, for a later stage to go on from.
    """

    trial: int
    fold: int
    hp: Hyperparameters
    progress: Progress = field(default_factory=Progress)
    snapshot: Snapshot | None = None
    until: int | None = None
    legs: tuple[int, ...] = ()
    keep_snapshot: bool = False
    _remembered: Progress | None = field(default=None, compare=False, repr=False)

    def remember(self) -> None:
        """Note that `snapshot` is of the present epoch."""
        self._remembered = self.progress.copy()

    def go_back(self) -> None:
        """Forget the epochs since `snapshot`; the time that they took stays counted."""
        assert self._remembered is not None
        self._remembered.seconds = self.progress.seconds
        self.progress = self._remembered.copy()

    @property
    def needs_snapshot(self) -> bool:
        """Whether it, or a trial that continues its own, goes on from where it stands."""
        return self.progress.end is None or (self.keep_snapshot and self.progress.end is End.EPOCHS)

    def epochs_at(self, epoch: int) -> int:
        """Give the epochs over which the schedule runs at an epoch: those of its leg."""
        return next((leg for leg in self.legs if epoch <= leg), self.hp.epochs)

    @property
    def is_resting(self) -> bool:
        """Whether there is nothing to train for now: it has ended, or waits."""
        return self.progress.end is not None or (self.until is not None and self.progress.epoch >= self.until)

    @property
    def key(self) -> tuple[int, int]:
        """What the member is known by within its search."""
        return (self.trial, self.fold)
