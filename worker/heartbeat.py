"""Reports to the master from a separate thread, so that training never waits for the network.

A report renews the lease and carries progress and results. Results and checkpoints queue up here; a checkpoint is
uploaded before the result that names it, so that the master has every file whose name it stores.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.errors import FoldstepError, LeaseLost, Unavailable
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.contract.report import Report, ReportReply, TrialProgress
from foldstep.worker.assignment import Finished
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.delivery import Outbox
from foldstep.worker.parcel import Parcel
from foldstep.worker.results import Bars, ResultFiles

log = logging.getLogger(__name__)

MAX_RESULTS, MAX_BYTES = 64, 4 << 20
"""Most results in one report, and the size of its results, in bytes, from which no further one is added."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
"""Pauses between two tries to deliver the end of a lease while the master does not answer."""


class Reporter:
    """A thread that renews one lease and sends its results to the master.

    Args:
        lease: the lease that is reported on.
        source: the folds, for the preprocessing that a checkpoint carries.
        interval_s: seconds between reports.
        outbox: the way to the master.
        leaving: once it is set, nothing waits for a master that does not answer.
        patience_s: how long the end of the lease is tried to be delivered, in seconds.
    """

    def __init__(
        self,
        lease: Lease,
        source: FoldSource,
        interval_s: float,
        outbox: Outbox,
        leaving: threading.Event,
        patience_s: float,
    ) -> None:
        self._lease, self._interval_s, self._outbox = lease, interval_s, outbox
        self._files = ResultFiles(lease, source)
        self._leaving, self._patience_s = leaving, patience_s
        self._lock = threading.Lock()
        self._progress: dict[int, TrialProgress] = {}
        self._finished: list[Finished] = []
        self._snapshots: dict[int, bytes] = {}
        self._member_steps = 0
        self._checks: CheckReport | None = None
        self._dropped: set[int] = set()
        self._bars = Bars(lease.checkpoint_bar, lease.snapshot_bar)
        self._time_is_over_at = _moment(lease.time_left_s)
        self._wake = threading.Event()
        self._closing = False
        self._following: LeaseRequest | None = None
        self._next: Lease | None = None
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    # -- called by the training thread --------------------------------------------------------------------

    def start(self) -> None:
        """Start the reporting thread."""
        self._thread.start()

    def note(self, progress: Mapping[int, TrialProgress], member_steps: int) -> None:
        """Record how far the trials are, and how many steps were taken since the last call."""
        with self._lock:
            self._progress.update(progress)
            self._member_steps += member_steps

    def finish(self, finished: Finished) -> None:
        """Queue a finished trial."""
        with self._lock:
            self._finished.append(finished)
            self._progress.pop(finished.leased.number, None)
            self._snapshots.pop(finished.leased.number, None)

    def checked(self, report: CheckReport) -> None:
        """Queue what the checks found."""
        with self._lock:
            self._checks = report

    def save(self, snapshots: Mapping[int, bytes]) -> None:
        """Queue snapshots: trial to file content."""
        with self._lock:
            self._snapshots.update(snapshots)

    @property
    def is_saving(self) -> bool:
        """Whether snapshots are still queued."""
        with self._lock:
            return bool(self._snapshots)

    def dropped(self) -> set[int]:
        """List the trials to stop: those that the master named, or all of the lease once reporting has failed."""
        with self._lock:
            return set(self._dropped)

    def seconds_left(self) -> float:
        """Compute the seconds left of the search's time; infinite if it has no limit."""
        with self._lock:
            return self._time_is_over_at - time.monotonic()

    def hurry(self) -> None:
        """Do not wait for a master that does not answer any more."""
        self._patience_s = 0.0

    def close(self, snapshots: Mapping[int, bytes], following: LeaseRequest | None = None) -> Lease | None:
        """Send what is left, end the lease with the snapshots of its unfinished trials, and end the thread.

        Args:
            snapshots: content by trial.
            following: what to ask for with the last report; None for nothing.

        Returns:
            The next lease; None if none was asked for or granted, or if the last report arrived late.

        Raises:
            LeaseLost: the lease has ended; what was not sent is dropped.
            FoldstepError: the master did not answer; what was not sent is in the spool.
            Exception: the thread has failed, a fault of the program; its trials are tried again under another lease.
        """
        with self._lock:
            self._snapshots = dict(snapshots)
        self._following, self._closing = following, True
        self._wake.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        return self._next

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            is_closing = False
            while not is_closing:
                self._wake.wait(self._interval_s)
                is_closing = self._closing  # what is queued before this goes up with the last report
                self._send_all(is_closing=is_closing)
            self._wait_until_delivered()
        except FoldstepError as error:
            if not isinstance(error, LeaseLost):
                log.error("%s", error.message)
            self._fail(error)
        except Exception as error:
            log.error("reporting failed: %s\n%s", error, traceback.format_exc())
            self._fail(error)
        finally:
            self._outbox.close()

    def _fail(self, error: Exception) -> None:
        """Stop the training of all trials: nobody would hear of their results."""
        with self._lock:
            self.failure = error
            self._dropped |= {t.number for t in self._lease.trials}

    def _send_all(self, *, is_closing: bool) -> None:
        """Send what is queued, in as many reports as its size asks for; the very last one ends the lease."""
        while True:
            finished, has_more = self._take_finished()
            is_last = is_closing and not has_more
            reply = self._outbox.send(self._parcel(finished, with_snapshots=is_last or not is_closing, is_last=is_last))
            if reply is not None:
                self._heed(reply)
            if is_last or not has_more:
                return

    def _take_finished(self) -> tuple[list[Finished], bool]:
        """Take as many finished trials as one report may have, and tell whether there are more."""
        with self._lock:
            n = n_bytes = 0
            while n < min(len(self._finished), MAX_RESULTS) and n_bytes < MAX_BYTES:
                n_bytes += len(self._finished[n].result.model_dump_json())
                n += 1
            taken, self._finished = self._finished[:n], self._finished[n:]
            return taken, bool(self._finished)

    def _parcel(self, finished: Sequence[Finished], *, with_snapshots: bool, is_last: bool) -> Parcel:
        with self._lock:
            progress, self._progress = list(self._progress.values()), {}
            steps, self._member_steps = self._member_steps, 0
            checks, self._checks = self._checks, None
            snapshots: dict[int, bytes] = {}
            if with_snapshots:
                snapshots, self._snapshots = self._snapshots, {}
            bars = self._bars
        made = self._files.of(finished, bars)
        report = Report(progress=progress, results=made.results, member_steps=steps, checks=checks)
        following = self._following if is_last else None
        return Parcel(report, made.checkpoints, snapshots | made.snapshots, is_last, following)

    def _heed(self, reply: ReportReply) -> None:
        self._next = reply.lease
        with self._lock:
            self._dropped |= set(reply.stop)
            self._bars = Bars(reply.checkpoint_bar, reply.snapshot_bar)
            self._time_is_over_at = _moment(reply.time_left_s)

    def _wait_until_delivered(self) -> None:
        """Try to deliver what is kept until the master answers.

        Raises:
            Unavailable: the worker leaves, or its patience is over; all is in the spool.
        """
        deadline, pause_s = time.monotonic() + self._patience_s, _FIRST_PAUSE_S
        while not self._outbox.is_empty:
            try:
                self._outbox.flush()
            except Unavailable:
                if time.monotonic() + pause_s > deadline or self._leaving.wait(pause_s):
                    raise
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _moment(seconds_left: float | None) -> float:
    """Compute when so many seconds are over, on the monotonic clock; infinite for None."""
    return math.inf if seconds_left is None else time.monotonic() + seconds_left


class Interval:
    """A repeating timer.

    Args:
        seconds: its interval.
        begun: when the first one began, in seconds of the clock; None for now.
        now: the clock.
    """

    def __init__(self, seconds: float, begun: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now, self._last = seconds, now, now() if begun is None else begun

    def is_over(self) -> bool:
        """Tell whether the interval is over, and start the next one if so."""
        if self._now() - self._last < self._seconds:
            return False
        self._last = self._now()
        return True
