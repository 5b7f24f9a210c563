"""Between the training of one lease and its reports: progress up, stops down, errors to the trial that has them."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Sequence

from foldstep.models.weights import Weights
from foldstep.worker.assignment import Assignment, TrialWork, failed
from foldstep.worker.checkpoints import encode_snapshot
from foldstep.worker.heartbeat import Interval, Reporter
from foldstep.worker.results import in_words
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Limits

log = logging.getLogger(__name__)


class LeaseMonitor:
    """A training monitor that passes progress to the reporter, and the master's answers to the training."""

    def __init__(
        self,
        assignment: Assignment,
        reporter: Reporter,
        leaving: threading.Event,
        telling: Interval,
        saving: Interval,
    ) -> None:
        self._assignment, self._reporter, self._leaving = assignment, reporter, leaving
        self._telling, self._saving = telling, saving
        self._saved: dict[int, list[int]] = {}

    def epoch_done(self, members: Sequence[Member], member_steps: int) -> None:
        """Pass on the progress, at most twice a report."""
        # an epoch of tiny networks takes less time than to compute their progress
        trials = {m.trial for m in members} if self._telling.is_over() else set()
        progress = {w.leased.number: w.progress() for w in self._assignment if w.leased.number in trials}
        self._reporter.note(progress, member_steps)

    def member_done(self, member: Member, weights: Weights | None) -> None:
        """Queue the trial's result if this was its last fold."""
        finished = self._assignment.fold_done(member, weights)
        if finished is not None:
            self._reporter.finish(finished)

    def dropped_trials(self) -> set[int]:
        """List the trials that the master has stopped."""
        return self._reporter.dropped()

    def is_leaving(self) -> bool:
        """Tell whether the worker is to leave."""
        return self._leaving.is_set()

    def wants_snapshots(self) -> bool:
        """Tell whether it is time for snapshots, and the last ones are on their way."""
        return self._saving.is_over() and not self._reporter.is_saving

    def snapshots_taken(self) -> None:
        """Queue the snapshots of the trials that have trained since they were saved last."""
        epochs = {w.leased.number: [m.progress.epoch for m in w.members] for w in self._assignment}
        changed = {trial for trial, now in epochs.items() if self._saved.get(trial) != now}
        try:
            self._reporter.save(snapshots_of(self._assignment, changed))
        except MemoryError as error:
            log.warning("no room for snapshots, training continues without them: %s", error)
            return
        self._saved = epochs

    def fail(self, work: TrialWork, message: str) -> None:
        """Report a trial as failed."""
        self._assignment.remove(work.leased.number)
        self._reporter.finish(failed(work.leased, message, time.monotonic() - work.started))


def snapshots_of(assignment: Assignment, trials: set[int] | None = None) -> dict[int, bytes]:
    """Encode a snapshot of every unfinished trial that has begun, or of those among `trials`."""
    works = [w for w in assignment if not w.is_dropped and (trials is None or w.leased.number in trials)]
    saved = {w.leased.number: w.saved(assignment.lease.problem.fingerprint) for w in works}
    return {trial: encode_snapshot(s) for trial, s in saved.items() if s is not None}


def train_isolated(training: Training, assignment: Assignment, monitor: LeaseMonitor, limits: Limits) -> None:
    """Train the trials of a lease; after an error halves of them, down to the trial that has it: that one fails.

    What the others come to does not depend on who trains beside them.
    """
    waiting = [list(assignment)]
    while waiting:
        works = waiting.pop(0)
        message = _error_of(training, works, monitor, limits)
        # only here, outside of the handler, nothing refers to what has failed, so its memory is free
        if message is None:
            continue
        unfinished = [work for work in assignment if work in works]
        for work in unfinished:
            work.go_back()
        if len(works) == 1:
            for work in unfinished:
                monitor.fail(work, message)
        elif unfinished:
            half = (len(unfinished) + 1) // 2
            waiting[:0] = [part for part in (unfinished[:half], unfinished[half:]) if part]


def _error_of(training: Training, works: Sequence[TrialWork], monitor: LeaseMonitor, limits: Limits) -> str | None:
    """Train some trials, and return the error that ended this, in words; None for a proper end."""
    try:
        training.train([m for work in works for m in work.members], monitor, limits)
    except Exception as error:
        how = f"trial {works[0].leased.number} alone" if len(works) == 1 else f"{len(works)} trials together"
        log.error("training of %s failed: %s\n%s", how, error, traceback.format_exc())
        return in_words(error)
    return None
