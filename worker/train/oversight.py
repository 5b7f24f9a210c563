"""Lets the outside watch, limit and interrupt the training of some members."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from foldstep.models.stack import Weights
from foldstep.worker.train.in_flight import SavingRound
from foldstep.worker.train.member import Member
from foldstep.worker.train.stopping import End


class Monitor(Protocol):
    """Watches a training: it hears of every epoch and may call members off."""

    def epoch_done(self, members: Sequence[Member], member_steps: int) -> None:
        """Hear that all `members` have trained one more epoch, in `member_steps` steps times members."""

    def member_done(self, member: Member, weights: Weights | None) -> None:
        """Hear that `member` trains no more, or has come to the epoch at which it waits.

        `weights` are its best ones; None where it has none, or waits and carries its `snapshot`.
        """

    def dropped_trials(self) -> set[int]:
        """Name the trials that are to stop at once."""

    def is_leaving(self) -> bool:
        """Tell whether to stop after this epoch and keep the snapshot of every member."""

    def wants_snapshots(self) -> bool:
        """Tell whether it is time to save where the members stand."""

    def snapshots_taken(self) -> None:
        """Hear that every unfinished member of the pack carries its present `snapshot`."""


@dataclass(frozen=True)
class Limits:
    """The time that members may train.

    Attributes:
        trial_time_s: each of them; it ends with the epoch in which that is over. None for no limit.
        seconds_left: all of them from now on; they end with the last epoch that fits.
    """

    trial_time_s: float | None = None
    seconds_left: Callable[[], float] = lambda: math.inf


UNLIMITED = Limits()


class Oversight:
    """The monitor and the limits of one call of `Training.train`.

    Attributes:
        monitor: hears of everything.
        saving: the round in which packs take their snapshots.
    """

    def __init__(self, monitor: Monitor, limits: Limits) -> None:
        self.monitor, self._limits = monitor, limits
        self.saving = SavingRound(monitor.wants_snapshots, monitor.snapshots_taken)

    def must_leave(self) -> bool:
        """Tell whether all training is to stop after this epoch."""
        return self.monitor.is_leaving() or self._limits.seconds_left() <= 0

    def without_dropped(self, members: Sequence[Member]) -> list[Member]:
        """Keep the members of trials that are still wanted; the others end here, before they begin."""
        dropped = self.monitor.dropped_trials()
        for member in members:
            if member.trial in dropped:
                member.progress.end = End.DROPPED
                self.monitor.member_done(member, None)
        return [m for m in members if m.trial not in dropped]

    def count_time(self, members: Iterable[Member], seconds: float) -> None:
        """Add an epoch's time to each of some members; those whose time is over end with what they have."""
        limit = self._limits.trial_time_s
        is_last = self._limits.seconds_left() < seconds
        for member in members:
            member.progress.seconds += seconds
            is_over = limit is not None and member.progress.seconds >= limit
            if (is_last or is_over) and member.progress.end is None and member.progress.best_epoch:
                member.progress.end = End.TIME

    def end_epoch(self, trained: Sequence[Member], n_steps: int) -> None:
        """Tell the monitor of an epoch of `n_steps` steps, and end the members that it calls off."""
        self.monitor.epoch_done(trained, n_steps * len(trained))
        dropped = self.monitor.dropped_trials()
        for member in trained:
            if member.trial in dropped:
                member.progress.end = End.DROPPED
