"""A worker: it registers, takes one lease after another, trains, reports, and ends cleanly on request."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.errors import (
    DatasetUnreadable,
    FoldstepError,
    LeaseLost,
    NotFound,
    Unauthorized,
    Unavailable,
)
from foldstep.service.contract.lease import (
    Backend,
    Device,
    Lease,
    LeasedTrial,
    LeaseRequest,
    WorkerRegistration,
)
from foldstep.service.contract.logs import about, say
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.report import Report
from foldstep.service.contract.version import __version__
from foldstep.worker.assignment import Assignment, TrialWork, failed
from foldstep.worker.checkpoints import SavedTrial, decode_snapshot
from foldstep.worker.checks.run import not_run, run_checks
from foldstep.worker.client import MasterClient
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table, read_table
from foldstep.worker.delivery import Outbox, deliver, deliver_abandoned
from foldstep.worker.heartbeat import Interval, Reporter
from foldstep.worker.monitor import LeaseMonitor, snapshots_of, train_isolated
from foldstep.worker.parcel import Parcel
from foldstep.worker.results import in_words
from foldstep.worker.settings import WorkerSettings
from foldstep.worker.spool import Spool
from foldstep.worker.steps.choice import chosen
from foldstep.worker.steps.compiled import gains_from_bf16, why_not
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.oversight import Limits

log = logging.getLogger(__name__)

_IDLE_GROWTH, _LONGEST_IDLE_S = 1.25, 2.0
"""Growth and longest duration (s) of the pauses between requests for a lease, while the master grants none."""
_SHORT_LEASE_S, _LONG_LEASE_S = 4.0, 30.0
"""The next lease after a shorter one is larger, so that requests cost little compared with training; after a longer
one it is smaller, so that little is lost when a worker dies."""
_MAX_GROWTH = 64
_SAVE_AT = 2 / 3
"""Share of `save_interval_s` after which snapshots are taken, so that they have arrived when it is over."""
_LONGEST_EPOCH = 1 / 3
"""Share of `save_interval_s` that an epoch of a pack may take before the pack is divided: what is left of it."""
_LOOK_AT_SPOOL_S = 10.0
"""Seconds between looks for what processes that have ended left in the spool."""
_LOOK_AT_LOG = "Look at the log of the worker; this is a fault of the program, so please report it."
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
        spool: where it keeps what it cannot deliver; None for `settings.spool_dir`.
        key: names it to the master, see `WorkerRegistration`; None for no key.
        mark: tells the parent of the process how far it has come, see `worker.launch.started`.
    """

    def __init__(
        self,
        client: MasterClient,
        settings: WorkerSettings,
        leaving: threading.Event,
        spool: Spool | None = None,
        key: str | None = None,
        mark: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client, self._settings, self._leaving = client, settings, leaving
        self._spool = spool or Spool(settings.spool_dir)
        self._looking = Interval(_LOOK_AT_SPOOL_S)
        self._growth = 1
        self._loaded: _Loaded | None = None
        self._engine = _engine(settings)
        device: Device = "cuda" if settings.is_cuda else "cpu"
        backend: Backend = "eager"
        if not settings.is_cuda and why_not() is None:
            backend = "compiled amx" if gains_from_bf16() else "compiled"
        names = {"name": settings.name, "version": __version__}
        self._registration = WorkerRegistration(device=device, backend=backend, key=key, **names)
        self._mark = mark

    def run(self) -> None:
        """Take leases and train them until the worker is to leave.

        Raises:
            Unavailable: the master did not answer for longer than `patience_s`.
        """
        self._register()
        idle_s = self._settings.idle_wait_s
        while not self._leaving.is_set():
            if self._looking.is_over():
                deliver_abandoned(self._client, self._spool)
            lease = self._ask()
            if lease is not None:
                idle_s = self._settings.idle_wait_s
            while lease is not None:
                with about(worker=self._worker, search=lease.search, lease=lease.lease):
                    log.info("trains %d trials", len(lease.trials))
                    lease = self._work(lease)
                self._mark("worked")
            self._leaving.wait(idle_s)
            idle_s = min(_IDLE_GROWTH * idle_s, _LONGEST_IDLE_S)

    def _register(self) -> None:
        registered = self._client.register(self._registration)
        self._worker, self._interval_s = registered.worker, registered.report_interval_s
        self._request = self._new_request()
        say(log, logging.INFO, "registered", worker=self._worker)
        deliver_abandoned(self._client, self._spool)  # before its trials go to another worker

    def _new_request(self) -> LeaseRequest:
        members = self._growth * self._settings.resolved_members
        return LeaseRequest(worker=self._worker, members=members, key=secrets.token_hex(16))

    def _ask(self) -> Lease | None:
        """Ask for trials; a master that does not know this worker any more, as one restored from a copy, is told."""
        try:
            lease = self._client.lease(self._request)  # with the key of a request whose answer was lost, if one was
        except NotFound:
            self._register()
            return None
        self._request = self._new_request()
        return lease

    def _work(self, lease: Lease) -> Lease | None:
        """Train a lease to its end, and return the next one; one that is no longer held is dropped without an error."""
        begun = time.monotonic()
        loaded = self._load_for(lease)
        if loaded is None:
            return None
        outbox = Outbox(self._client, self._spool.of(lease))
        patience_s = self._client.patience_s
        reporter = Reporter(lease, loaded.source, self._interval_s, outbox, self._leaving, patience_s)
        reporter.start()
        try:
            if lease.purpose == "check":
                snapshots: dict[int, bytes] = {}
                reporter.checked(_checks(lease, loaded.source))
            else:
                snapshots = self._train(lease, loaded, reporter, begun)
        except BaseException:
            reporter.hurry()
            self._end(lease, reporter, {})
            raise
        self._growth = _next_growth(self._growth, time.monotonic() - begun)
        return self._end(lease, reporter, snapshots)

    def _train(self, lease: Lease, loaded: _Loaded, reporter: Reporter, begun: float) -> dict[int, bytes]:
        """Train the trials of a lease, and return the snapshots of those that have not ended."""
        assignment = Assignment(lease, [])
        telling = Interval(self._interval_s / 2)
        saving = Interval(_SAVE_AT * self._settings.save_interval_s, begun)
        monitor = LeaseMonitor(assignment, reporter, self._leaving, telling, saving)
        for trial in lease.trials:
            try:
                assignment.add(self._trial_work(lease, trial, loaded.source.n_folds))
            except (ValueError, ArithmeticError, KeyError, TypeError) as error:
                reporter.finish(failed(trial, in_words(error), 0.0))
        for finished in assignment.take_finished():
            reporter.finish(finished)
        epoch_s = _LONGEST_EPOCH * self._settings.save_interval_s
        limits = Limits(lease.trial_time_s, reporter.seconds_left, epoch_s)
        train_isolated(loaded.training, assignment, monitor, limits)
        return snapshots_of(assignment)

    def _end(self, lease: Lease, reporter: Reporter, snapshots: dict[int, bytes]) -> Lease | None:
        """End a lease, and ask for the next one with the same call."""
        self._request = self._new_request()
        try:
            following = reporter.close(snapshots, None if self._leaving.is_set() else self._request)
        except LeaseLost:
            log.info("lease %d is somebody else's by now; its work is dropped", lease.lease)
            return None
        if following is not None:
            self._request = self._new_request()
        return following

    def _give_up(self, lease: Lease, message: str) -> None:
        """Report every trial of a lease, or the checks, as failed: its data cannot be used."""
        log.error("%s", message)
        checks = not_run("data", message, _LOOK_AT_DATA) if lease.purpose == "check" else None
        results = [failed(t, message, 0.0).result for t in lease.trials]
        try:
            deliver(self._client, lease, Parcel(Report(results=results, checks=checks), is_last=True))
        except LeaseLost:
            log.info("lease %d is somebody else's by now", lease.lease)

    def _load_for(self, lease: Lease) -> _Loaded | None:
        """Load the data of a lease; None if it cannot be used: then the lease's trials have failed.

        Raises:
            OSError: this machine cannot keep the data; the trials are given back.
            Unavailable: the master did not answer.
        """
        try:
            return self._load(lease.problem)
        except (Unavailable, Unauthorized):
            raise
        except FoldstepError as error:
            self._give_up(lease, error.message)
        except OSError:
            self._client.release(lease)
            raise
        return None

    def _load(self, problem: LearningProblem) -> _Loaded:
        if self._loaded is None or self._loaded.problem != problem:
            self._loaded = None  # free the last search's data before the next one's is read
            source = FoldSource(self._read(problem.fingerprint), problem)
            self._loaded = _Loaded(problem, source, Training(source, problem.metric.name, self._engine))
        return self._loaded

    def _read(self, fingerprint: str) -> Table:
        """Read a data file; one that was damaged in this machine's folder is fetched again."""
        folder = self._settings.cache_dir
        path = self._client.fetch_dataset(fingerprint, folder)
        try:
            return read_table(path, fingerprint)
        except DatasetUnreadable as error:
            log.warning("%s is fetched again: %s", path, error.message)
            path.unlink(missing_ok=True)
            return read_table(self._client.fetch_dataset(fingerprint, folder), fingerprint)

    def _trial_work(self, lease: Lease, trial: LeasedTrial, n_folds: int) -> TrialWork:
        problem = lease.problem
        return TrialWork(trial, n_folds, problem.seed, problem.metric.direction, self._resumed(lease, trial))

    def _resumed(self, lease: Lease, trial: LeasedTrial) -> SavedTrial | None:
        if trial.resume is None:
            return None
        try:
            content = self._client.get_snapshot(lease, trial.resume)
            return decode_snapshot(content, trial.params, lease.problem.fingerprint, trial.legs)
        except (Unavailable, Unauthorized):
            raise
        except (FoldstepError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("trial %d starts over, its snapshot cannot be used: %s", trial.number, in_words(error))
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


def _checks(lease: Lease, source: FoldSource) -> CheckReport:
    try:
        return run_checks(source, lease.problem, lease.candidates)
    except Exception as error:
        log.error("the checks failed: %s\n%s", error, traceback.format_exc())
        return not_run("checks", f"The checks could not be run: {in_words(error)}.", _LOOK_AT_LOG)
