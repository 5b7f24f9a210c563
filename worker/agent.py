"""A worker: it registers, takes one lease after another, trains, reports, and ends cleanly on request."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from foldstep.models.checkpoint import CheckpointDamaged
from foldstep.models.stack import Weights
from foldstep.service.contract.errors import FoldstepError, LeaseLost
from foldstep.service.contract.lease import (
    Backend,
    Device,
    Lease,
    LeasedTrial,
    LeaseRequest,
    WorkerRegistration,
)
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.report import Report, TrialResult
from foldstep.service.contract.version import __version__
from foldstep.worker.assignment import Assignment, Finished, TrialWork
from foldstep.worker.checkpoints import SavedTrial, decode_snapshot, encode_snapshot
from foldstep.worker.checks.run import not_run, run_checks
from foldstep.worker.client import MasterClient
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import read_table
from foldstep.worker.heartbeat import Interval, Reporter, snapshot_name
from foldstep.worker.settings import WorkerSettings
from foldstep.worker.steps.choice import chosen
from foldstep.worker.steps.compiled import gains_from_bf16, why_not
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Limits

log = logging.getLogger(__name__)

_IDLE_GROWTH, _LONGEST_IDLE_S = 1.25, 2.0
"""Growth and longest duration (s) of the pauses between requests for a lease, while the master grants none."""
_SHORT_LEASE_S, _LONG_LEASE_S = 4.0, 30.0
"""The next lease after a shorter one is larger, so that requests cost little compared with training; after a longer
one it is smaller, so that little is lost when a worker dies."""
_MAX_GROWTH = 64
_LOOK_AT_DATA = "Look at the data folder of the master: the data of this search cannot be fetched or read."


@dataclass(frozen=True)
class _Loaded:
    """The data of one problem, kept between the leases of its search."""

    problem: LearningProblem
    source: FoldSource
    training: Training


class Agent:
    """One worker process.

    Args:
        client: the master.
        settings: see `WorkerSettings`.
        leaving: once it is set, the worker finishes the present epoch, saves, gives back and ends.
    """

    def __init__(self, client: MasterClient, settings: WorkerSettings, leaving: threading.Event) -> None:
        self._client, self._settings, self._leaving = client, settings, leaving
        self._loaded: _Loaded | None = None
        self._engine = _engine(settings)
        device: Device = "cuda" if settings.is_cuda else "cpu"
        backend: Backend = "eager"
        if not settings.is_cuda and why_not() is None:
            backend = "compiled amx" if gains_from_bf16() else "compiled"
        names = {"name": settings.name, "version": __version__}
        self._registration = WorkerRegistration(device=device, backend=backend, **names)

    def run(self) -> None:
        """Take leases and train them until the worker is to leave.

        Raises:
            Unavailable: the master did not answer for longer than `patience_s`.
        """
        registered = self._client.register(self._registration)
        growth = 1
        idle_s = self._settings.idle_wait_s
        while not self._leaving.is_set():
            members = growth * self._settings.resolved_members
            lease = self._client.lease(LeaseRequest(worker=registered.worker, members=members))
            if lease is not None:
                begun = time.monotonic()
                self._work(lease, registered.report_interval_s)
                growth = _next_growth(growth, time.monotonic() - begun)
                idle_s = self._settings.idle_wait_s
            else:
                self._leaving.wait(idle_s)
                idle_s = min(_IDLE_GROWTH * idle_s, _LONGEST_IDLE_S)

    def _work(self, lease: Lease, interval_s: float) -> None:
        """Train a lease to its end; one that the worker no longer holds is dropped without an error."""
        try:
            loaded = self._load(lease.problem)
        except FoldstepError as error:
            self._give_up(lease, error.message)
            return
        reporter = Reporter(self._client, lease, loaded.source, interval_s)
        if lease.purpose == "check":
            self._check(lease, loaded, reporter)
            return
        works = [self._trial_work(lease, trial, loaded.source.n_folds) for trial in lease.trials]
        assignment = Assignment(lease, works)
        reporter.start()
        intervals = Interval(interval_s / 2), Interval(self._settings.save_interval_s)
        monitor = _LeaseMonitor(assignment, reporter, self._leaving, *intervals)
        for finished in assignment.take_finished():
            reporter.finish(finished)
        try:
            loaded.training.train(assignment.members(), monitor, Limits(lease.trial_time_s, reporter.seconds_left))
        except (RuntimeError, MemoryError, ValueError, ArithmeticError) as error:
            # errors of training end as failed trials, and do not crash the worker
            log.error("training failed: %s\n%s", error, traceback.format_exc())
            monitor.fail_rest(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}")
        self._end(lease, assignment, reporter)

    def _check(self, lease: Lease, loaded: _Loaded, reporter: Reporter) -> None:
        """Run the checks of a search and report them; the lease is renewed meanwhile."""
        reporter.start()
        reporter.checked(run_checks(loaded.source, lease.problem, lease.candidates))
        try:
            reporter.close()
            self._client.release(lease)
        except LeaseLost:
            log.info("lease %d is somebody else's by now; its checks are dropped", lease.lease)

    def _end(self, lease: Lease, assignment: Assignment, reporter: Reporter) -> None:
        try:
            reporter.close()
            self._client.release(lease, self._put_snapshots(lease, assignment))
        except LeaseLost:
            log.info("lease %d is somebody else's by now; its work is dropped", lease.lease)

    def _put_snapshots(self, lease: Lease, assignment: Assignment) -> dict[int, str]:
        names = {}
        for trial, content in _snapshots_of(assignment).items():
            names[trial] = snapshot_name(trial)
            self._client.put_snapshot(lease, names[trial], content)
        return names

    def _give_up(self, lease: Lease, message: str) -> None:
        """Report every trial of a lease, or the checks, as failed: its data cannot be used."""
        log.error("%s", message)
        checks = not_run("data", message, _LOOK_AT_DATA) if lease.purpose == "check" else None
        results = [
            TrialResult(trial=t.number, outcome="failed", folds=[], duration_s=0, message=message) for t in lease.trials
        ]
        try:
            self._client.report(lease, Report(results=results, checks=checks))
            self._client.release(lease)
        except LeaseLost:
            log.info("lease %d is somebody else's by now", lease.lease)

    def _load(self, problem: LearningProblem) -> _Loaded:
        if self._loaded is None or self._loaded.problem != problem:
            self._loaded = None  # free the last search's data before the next one's is read
            path = self._client.fetch_dataset(problem.fingerprint, self._settings.cache_dir)
            source = FoldSource(read_table(path, problem.fingerprint), problem)
            self._loaded = _Loaded(problem, source, Training(source, problem.metric.name, self._engine))
        return self._loaded

    def _trial_work(self, lease: Lease, trial: LeasedTrial, n_folds: int) -> TrialWork:
        return TrialWork(trial, n_folds, lease.problem.seed, self._resumed(lease, trial))

    def _resumed(self, lease: Lease, trial: LeasedTrial) -> SavedTrial | None:
        if trial.resume is None:
            return None
        try:
            content = self._client.get_snapshot(lease, trial.resume)
            return decode_snapshot(content, trial.params, lease.problem.fingerprint, trial.legs)
        except (CheckpointDamaged, FoldstepError) as error:
            log.warning("trial %d starts over, its snapshot cannot be used: %s", trial.number, error)
            return None


def _engine(settings: WorkerSettings) -> Engine:
    """Make the engine of a worker's device, with the backends that its environment chooses."""
    return Engine(
        torch.device(settings.device),
        settings.resolved_pack_bytes,
        may_fuse=settings.is_cuda and chosen() == "fused",
        may_capture=chosen() != "eager",
        packs_in_flight=settings.packs_in_flight,
    )


def _next_growth(growth: int, lasted_s: float) -> int:
    """Compute the factor on the number of members to ask for next, after a lease of this duration."""
    if lasted_s < _SHORT_LEASE_S:
        return min(2 * growth, _MAX_GROWTH)
    return max(growth // 2, 1) if lasted_s > _LONG_LEASE_S else growth


def _snapshots_of(assignment: Assignment) -> dict[int, bytes]:
    """Encode a snapshot of every unfinished trial that has begun."""
    saved = {w.leased.number: w.saved(assignment.lease.problem.fingerprint) for w in assignment if not w.is_dropped}
    return {trial: encode_snapshot(s) for trial, s in saved.items() if s is not None}


class _LeaseMonitor:
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

    def epoch_done(self, members: Sequence[Member], member_steps: int) -> None:
        # an epoch of tiny networks takes less time than to compute their progress
        trials = {m.trial for m in members} if self._telling.is_over() else set()
        progress = {w.leased.number: w.progress() for w in self._assignment if w.leased.number in trials}
        self._reporter.note(progress, member_steps)

    def member_done(self, member: Member, weights: Weights | None) -> None:
        finished = self._assignment.fold_done(member, weights)
        if finished is not None:
            self._reporter.finish(finished)

    def dropped_trials(self) -> set[int]:
        return self._reporter.dropped()

    def is_leaving(self) -> bool:
        return self._leaving.is_set()

    def wants_snapshots(self) -> bool:
        return self._saving.is_over()

    def snapshots_taken(self) -> None:
        self._reporter.save(_snapshots_of(self._assignment))

    def fail_rest(self, message: str) -> None:
        """Report every trial that is not done as failed."""
        for work in self._assignment:
            result = TrialResult(
                trial=work.leased.number,
                outcome="failed",
                folds=[],
                duration_s=time.monotonic() - work.started,
                message=message,
            )
            self._assignment.remove(work.leased.number)
            self._reporter.finish(Finished(work.leased, [], [], result))
