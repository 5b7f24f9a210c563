"""Reports to the master from a separate thread, so that training never waits for the network.

A report renews the lease and carries progress and results. Results and checkpoints queue up here; a checkpoint is
uploaded before the result that names it, so that the master has every file whose name it stores.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.errors import FoldstepError, LeaseLost
from foldstep.service.contract.lease import Lease
from foldstep.service.contract.report import Report, TrialProgress, TrialResult
from foldstep.worker.assignment import Finished
from foldstep.worker.checkpoints import checkpoint, encode_snapshot, is_worth_keeping
from foldstep.worker.client import MasterClient
from foldstep.worker.data.inputs import FoldSource

log = logging.getLogger(__name__)

MAX_RESULTS = 64
"""Most results in one report, to bound its size, curves included."""


class Reporter:
    """A thread that renews one lease and sends its results to the master.

    Args:
        client: the master.
        lease: the lease that is reported on.
        source: the folds, for the preprocessing that a checkpoint carries.
        interval_s: seconds between reports.
    """

    def __init__(self, client: MasterClient, lease: Lease, source: FoldSource, interval_s: float) -> None:
        self._client, self._lease, self._source, self._interval_s = client, lease, source, interval_s
        self._lock = threading.Lock()
        self._progress: dict[int, TrialProgress] = {}
        self._finished: list[Finished] = []
        self._snapshots: dict[int, bytes] = {}
        self._member_steps = 0
        self._checks: CheckReport | None = None
        self._dropped: set[int] = set()
        self._bar, self._snapshot_bar = lease.checkpoint_bar, lease.snapshot_bar
        self._direction = lease.problem.metric.direction
        self._time_is_over_at = _moment(lease.time_left_s)
        self._wake = threading.Event()
        self._closing = False
        self.failure: FoldstepError | None = None
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

    def checked(self, report: CheckReport) -> None:
        """Queue what the checks found."""
        with self._lock:
            self._checks = report

    def save(self, snapshots: Mapping[int, bytes]) -> None:
        """Queue snapshots: trial to file content."""
        with self._lock:
            self._snapshots.update(snapshots)

    def dropped(self) -> set[int]:
        """List the trials to stop: those that the master named, or all of the lease once reporting has failed."""
        with self._lock:
            return set(self._dropped)

    def seconds_left(self) -> float:
        """Compute the seconds left of the search's time; infinite if it has no limit."""
        with self._lock:
            return self._time_is_over_at - time.monotonic()

    def close(self) -> None:
        """Send what is left and end the thread.

        Raises:
            FoldstepError: reporting has failed with this error (`failure`); what was not sent is dropped.
        """
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._closing:
                self._wake.wait(self._interval_s)
                self._send()
            while self._has_results():
                self._send()
        except FoldstepError as error:
            if not isinstance(error, LeaseLost):
                log.error("%s", error.message)
            self.failure = error
            with self._lock:
                self._dropped |= {t.number for t in self._lease.trials}

    def _has_results(self) -> bool:
        with self._lock:
            return bool(self._finished) or self._checks is not None

    def _send(self) -> None:
        with self._lock:
            progress, self._progress = list(self._progress.values()), {}
            finished, self._finished = self._finished[:MAX_RESULTS], self._finished[MAX_RESULTS:]
            steps, self._member_steps = self._member_steps, 0
            snapshots, self._snapshots = self._snapshots, {}
            checks, self._checks = self._checks, None
        snapshots |= {
            f.leased.number: encode_snapshot(f.snapshot) for f in finished if f.snapshot and self._is_wanted(f)
        }
        results = self._with_checkpoints(finished)
        report = Report(
            progress=progress,
            results=results,
            member_steps=steps,
            snapshots={trial: self._put_snapshot(trial, content) for trial, content in snapshots.items()},
            checks=checks,
        )
        reply = self._client.report(self._lease, report)
        with self._lock:
            self._dropped |= set(reply.stop)
            self._bar, self._snapshot_bar = reply.checkpoint_bar, reply.snapshot_bar
            self._time_is_over_at = _moment(reply.time_left_s)

    def _is_wanted(self, finished: Finished) -> bool:
        """Tell whether to upload a trial's snapshot with its result: it is paused, or good enough to be continued."""
        is_good = is_worth_keeping(finished.score, self._snapshot_bar, self._direction)
        return finished.result.outcome == "paused" or is_good

    def _put_snapshot(self, trial: int, content: bytes) -> str:
        name = snapshot_name(trial)
        self._client.put_snapshot(self._lease, name, content)
        return name

    def _with_checkpoints(self, finished: Sequence[Finished]) -> list[TrialResult]:
        """Upload the checkpoints worth keeping, and return the results with their names."""
        wanted = self._worth_keeping(finished)
        files = {f.leased.number: self._checkpoints(f) for f in finished if f.leased.number in wanted}
        if files:
            self._client.put_checkpoints(self._lease, {n: c for named in files.values() for n, c in named.items()})
        return [_named(f.result, list(files.get(f.leased.number, ()))) for f in finished]

    def _worth_keeping(self, finished: Sequence[Finished]) -> set[int]:
        """Choose the trials that reach the master's bar, and of those no more than it keeps."""
        ended = [f for f in finished if f.result.outcome != "paused" and len(f.members) == self._source.n_folds]
        good = [f for f in ended if is_worth_keeping(f.score, self._bar, self._direction)]
        good.sort(key=lambda f: (self._direction.loss_of(f.score or 0.0), f.leased.number))
        return {f.leased.number for f in good[: self._lease.keep_checkpoints]}

    def _checkpoints(self, finished: Finished) -> dict[str, bytes]:
        """Make a trial's checkpoint files, in the order of its folds."""
        files = {}
        for member, weights in zip(finished.members, finished.weights, strict=True):
            assert weights is not None
            data = self._source.fold(member.fold, member.hp.scaler, member.hp.link)
            name, content = checkpoint(self._lease, finished.leased, member, weights, data, finished.result)
            files[name] = content
        return files


def _moment(seconds_left: float | None) -> float:
    """Compute when so many seconds are over, on the monotonic clock; infinite for None."""
    return math.inf if seconds_left is None else time.monotonic() + seconds_left


def _named(result: TrialResult, checkpoints: list[str]) -> TrialResult:
    """Add the name of its checkpoint to each fold of a result, if it has checkpoints."""
    if not checkpoints:
        return result
    named = zip(result.folds, checkpoints, strict=True)
    return result.model_copy(update={"folds": [f.model_copy(update={"checkpoint": name}) for f, name in named]})


def snapshot_name(trial: int) -> str:
    """Build the file name of a trial's snapshot."""
    return f"trial-{trial:06d}.safetensors"


class Interval:
    """A repeating timer."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._now, self._last = seconds, now, now()

    def is_over(self) -> bool:
        """Tell whether the interval is over, and start the next one if so."""
        if self._now() - self._last < self._seconds:
            return False
        self._last = self._now()
        return True
