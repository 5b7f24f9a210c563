"""The members of a search, each one network in training, and their snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.weights import Weights
from foldstep.worker.train.stopping import End, Progress


@dataclass
class Snapshot:
    """The state from which a member resumes after its last epoch, without padding.

    Attributes:
        parameters: its weights and running statistics.
        best: the weights of its best epoch.
        optimizer: the state of its optimizer, by name.
        average: the running average of its weights; None if no member of the pack had one.
        good: the snapshot of its best epoch, to which it returns if it diverges; None if that is this snapshot, or if
            it does not restart.
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
        trial: number of the trial.
        fold: index of the fold, from 0.
        hp: its hyperparameters.
        progress: its history.
        snapshot: the state to resume from; None before the first epoch.
        until: the epoch at which it pauses; None to train to its end.
        legs: numbers of epochs at which earlier stages of its training end, each stage with its own schedule.
        n_parameters: number of trained parameters of its network; None before it trains.
        keep_snapshot: whether its snapshot is kept after the last epoch, for a later stage that continues it.
    """

    trial: int
    fold: int
    hp: Hyperparameters
    progress: Progress = field(default_factory=Progress)
    snapshot: Snapshot | None = None
    until: int | None = None
    legs: tuple[int, ...] = ()
    keep_snapshot: bool = False
    n_parameters: int | None = None
    _remembered: Progress | None = field(default=None, compare=False, repr=False)

    def remember(self) -> None:
        """Remember the present progress as that of `snapshot`."""
        self._remembered = self.progress.copy()

    def go_back(self) -> None:
        """Return to the progress of `snapshot`; the time of the epochs since then is still counted."""
        if self._remembered is None:
            return  # it has not trained here
        self._remembered.seconds = self.progress.seconds
        self.progress = self._remembered.copy()

    @property
    def needs_snapshot(self) -> bool:
        """Whether the member, or a trial that continues its trial, resumes from its present state."""
        return self.progress.end is None or (self.keep_snapshot and self.progress.end is End.EPOCHS)

    def epochs_at(self, epoch: int) -> int:
        """Find the length in epochs of the schedule that is valid at an epoch: the end of its stage."""
        return next((leg for leg in self.legs if epoch <= leg), self.hp.epochs)

    @property
    def is_resting(self) -> bool:
        """Whether the member does not train now: it has ended, or pauses at `until`."""
        return self.progress.end is not None or (self.until is not None and self.progress.epoch >= self.until)

    @property
    def key(self) -> tuple[int, int]:
        """The key of the member within its search: (trial, fold)."""
        return (self.trial, self.fold)
