"""Monitor, limit and interrupt the training of members from outside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from foldstep.models.weights import Weights
from foldstep.worker.train.in_flight import SavingRound
from foldstep.worker.train.member import Member
from foldstep.worker.train.stopping import End


class Monitor(Protocol):
    """The observer of a training: it is notified of every epoch, and can stop members."""

    def epoch_done(self, members: Sequence[Member], member_steps: int) -> None:
        """Handle the end of an epoch of all `members`, who took `member_steps` steps in total."""

    def member_done(self, member: Member, weights: Weights | None) -> None:
        """Handle a member that has ended or has paused.

        `weights` are its best weights; None if it has none, or has paused (it then has its `snapshot`).
        """

    def dropped_trials(self) -> set[int]:
        """List the trials that must stop at once."""

    def is_leaving(self) -> bool:
        """Tell whether to stop after this epoch and take the snapshots of all members."""

    def wants_snapshots(self) -> bool:
        """Tell whether it is time to save the snapshots of the members."""

    def snapshots_taken(self) -> None:
        """Handle a completed round: every unfinished member of the packs in flight has its present `snapshot`."""


class Unwatched:
    """A monitor that ignores every event and never stops or interrupts a training; others override what they note."""

    def epoch_done(self, members: Sequence[Member], member_steps: int) -> None:
        """Do nothing: progress is not reported."""

    def member_done(self, member: Member, weights: Weights | None) -> None:
        """Do nothing: the results are in the member's progress."""

    def dropped_trials(self) -> set[int]:
        """Return no trials: none is dropped."""
        return set()

    def is_leaving(self) -> bool:
        """Tell that the training goes on to its end."""
        return False

    def wants_snapshots(self) -> bool:
        """Tell that no snapshots are requested."""
        return False

    def snapshots_taken(self) -> None:
        """Do nothing: it is never called, for no snapshots are requested."""


@dataclass(frozen=True)
class Limits:
    """Limits of the training time.

    Attributes:
        trial_time_s: for each member, in seconds; it ends with the epoch in which it exceeds this. None for no limit.
        seconds_left: returns the seconds left for all members; they end with the last epoch that fits.
        epoch_s: longest epoch of a pack that may be divided, in seconds: snapshots are taken between epochs.
    """

    trial_time_s: float | None = None
    seconds_left: Callable[[], float] = lambda: math.inf
    epoch_s: float = math.inf


UNLIMITED = Limits()


class Oversight:
    """The monitor and the limits of one call of `Training.train`.

    Attributes:
        monitor: is notified of epochs and ends.
        saving: the round in which packs take their snapshots.
    """

    def __init__(self, monitor: Monitor, limits: Limits) -> None:
        self.monitor, self._limits = monitor, limits
        self.saving = SavingRound(monitor.wants_snapshots, monitor.snapshots_taken)

    def must_leave(self) -> bool:
        """Tell whether all members must stop after this epoch."""
        return self.monitor.is_leaving() or self._limits.seconds_left() <= 0

    def is_slow(self, epoch_s: float) -> bool:
        """Tell whether an epoch took so long that too much work would be lost with it."""
        return epoch_s > self._limits.epoch_s

    def without_dropped(self, members: Sequence[Member]) -> list[Member]:
        """Select the members whose trials are not dropped; end the others before they train."""
        dropped = self.monitor.dropped_trials()
        for member in members:
            if member.trial in dropped:
                member.progress.end = End.DROPPED
                self.monitor.member_done(member, None)
        return [m for m in members if m.trial not in dropped]

    def count_time(self, members: Iterable[Member], seconds: float) -> None:
        """Add an epoch's seconds to each of the members; end those that have reached a limit and have a best epoch."""
        limit = self._limits.trial_time_s
        is_last = self._limits.seconds_left() < seconds
        for member in members:
            member.progress.seconds += seconds
            is_over = limit is not None and member.progress.seconds >= limit
            if (is_last or is_over) and member.progress.end is None and member.progress.best_epoch:
                member.progress.end = End.TIME

    def end_epoch(self, trained: Sequence[Member], n_steps: int) -> None:
        """Report an epoch of `n_steps` steps to the monitor, and end the members of dropped trials."""
        self.monitor.epoch_done(trained, n_steps * len(trained))
        dropped = self.monitor.dropped_trials()
        for member in trained:
            if member.trial in dropped:
                member.progress.end = End.DROPPED
