"""Deliver parcels to the master: what it refuses costs one trial its result, never the worker its life."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from foldstep.service.contract.errors import FoldstepError, LeaseLost, Unauthorized, Unavailable
from foldstep.service.contract.report import LeaseEnd, Report, ReportReply, TrialResult
from foldstep.worker.checks.run import not_run
from foldstep.worker.client import Fenced, MasterClient
from foldstep.worker.parcel import Parcel, snapshot_name
from foldstep.worker.spool import Kept, Spool

log = logging.getLogger(__name__)

IsRefusal: TypeAlias = Callable[[FoldstepError], bool]
_FAULT_PATIENCE_S = 120.0
"""How long an internal fault of the master (500) may last before it is taken for a refusal, in seconds."""
_FORBIDDEN = 403
_FAULT = 500
_LOOK_AT_REPORT = "Look at the log of the master."


def is_refusal(error: FoldstepError) -> bool:
    """Tell whether the content of a request is refused: not its lease, its token, or the time at which it comes."""
    if isinstance(error, LeaseLost | Unauthorized | Unavailable):
        return False
    return error.status not in (None, _FORBIDDEN)  # None: this client refused the answer, as of another version


class Outbox:
    """The way of one lease's parcels to the master; while it does not answer, they are kept in the spool.

    Args:
        client: the master.
        kept: the lease's folder in the spool.
    """

    def __init__(self, client: MasterClient, kept: Kept) -> None:
        self._client, self._kept = client.impatient(), kept
        self._away = False
        self._faulty_since: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything is delivered."""
        return self._kept.is_empty

    def close(self) -> None:
        """Leave what is not delivered to whoever looks into the spool next."""
        self._kept.close()

    def send(self, parcel: Parcel) -> ReportReply | None:
        """Deliver what is kept, then a parcel; None if the master does not answer: then the parcel is kept, too.

        Raises:
            LeaseLost: the lease has ended; what was kept for it is deleted.
            FoldstepError: the master does not accept this worker any more; what was not delivered stays in the spool.
        """
        try:
            self.flush()
            return self._deliver(parcel)
        except Unavailable:
            self._kept.put(parcel)
            return None
        except LeaseLost:
            self._kept.clear()
            raise
        except FoldstepError:
            self._kept.put(parcel)
            raise

    def flush(self) -> None:
        """Deliver what is kept.

        Raises:
            Unavailable: the master does not answer.
            FoldstepError: see `send`.
        """
        for parcel in self._kept.parcels():
            self._deliver(parcel)

    def _deliver(self, parcel: Parcel) -> ReportReply:
        try:
            reply = deliver(self._client, self._kept.lease, parcel, self._is_refusal)
        except Unavailable as error:
            self._note(error)
            raise
        if self._away:
            log.warning("the master answers again")
        self._away, self._faulty_since = False, None
        return reply

    def _note(self, error: Unavailable) -> None:
        if not self._away:
            log.warning("%s Results are kept in %s until then.", error.message, self._kept.folder)
        self._away = True
        if error.status == _FAULT and self._faulty_since is None:
            self._faulty_since = time.monotonic()

    def _is_refusal(self, error: FoldstepError) -> bool:
        since = self._faulty_since
        is_lasting = since is not None and time.monotonic() - since > _FAULT_PATIENCE_S
        return is_refusal(error) or (error.status == _FAULT and is_lasting)


def deliver_abandoned(client: MasterClient, spool: Spool) -> None:
    """Deliver what processes that have ended left in the spool; what the master cannot take now stays there."""
    for kept in spool.abandoned():
        try:
            Outbox(client, kept).flush()
        except LeaseLost as error:
            log.warning("what a worker left at its end came too late, and is dropped: %s", error.message)
            kept.clear()
        except FoldstepError as error:
            log.warning("what a worker left at its end cannot be delivered yet: %s", error.message)
            return


def deliver(client: MasterClient, lease: Fenced, parcel: Parcel, refuses: IsRefusal = is_refusal) -> ReportReply:
    """Upload a parcel's files, then send its report; a trial whose result or file is refused says so.

    Raises:
        LeaseLost: the worker no longer holds the lease.
        Unavailable: the master does not answer.
    """
    results = _upload_checkpoints(client, lease, parcel, refuses)
    snapshots = {t: snapshot_name(t) for t in parcel.snapshots if _has_taken(client, lease, parcel, t, refuses)}
    update: dict[str, object] = {"results": results, "snapshots": snapshots, "next": parcel.following}
    if parcel.is_last:
        update["release"] = LeaseEnd(snapshots=snapshots)
    return _report(client, lease, parcel.report.model_copy(update=update), refuses)


def _upload_checkpoints(client: MasterClient, lease: Fenced, parcel: Parcel, refuses: IsRefusal) -> list[TrialResult]:
    """Upload the checkpoints, together or trial by trial, and return the results without those that were refused."""
    results = parcel.report.results
    if not parcel.checkpoints:
        return results
    try:
        client.put_checkpoints(lease, parcel.checkpoints)
    except FoldstepError as error:
        if not refuses(error):
            raise
        return [_with_checkpoint(client, lease, parcel, result, refuses) for result in results]
    return results


def _with_checkpoint(
    client: MasterClient, lease: Fenced, parcel: Parcel, result: TrialResult, refuses: IsRefusal
) -> TrialResult:
    names = [fold.checkpoint for fold in result.folds if fold.checkpoint is not None]
    try:
        client.put_checkpoints(lease, {name: parcel.checkpoints[name] for name in names})
    except FoldstepError as error:
        if not refuses(error):
            raise
        log.error("the checkpoint of trial %d is refused: %s", result.trial, error.message)
        said = f"{result.message or ''} Its checkpoint is lost, the master refused it: {error.message}".strip()
        folds = [fold.model_copy(update={"checkpoint": None}) for fold in result.folds]
        return result.model_copy(update={"folds": folds, "message": said})
    return result


def _has_taken(client: MasterClient, lease: Fenced, parcel: Parcel, trial: int, refuses: IsRefusal) -> bool:
    """Upload a trial's snapshot, and tell whether the master has taken it."""
    try:
        client.put_snapshot(lease, snapshot_name(trial), parcel.snapshots[trial])
    except FoldstepError as error:
        if not refuses(error):
            raise
        log.error("the snapshot of trial %d is refused: %s", trial, error.message)
        return False
    return True


def _report(client: MasterClient, lease: Fenced, report: Report, refuses: IsRefusal) -> ReportReply:
    """Send a report; one that is refused is sent in halves, to find the results that are the cause."""
    try:
        return client.report(lease, report)
    except FoldstepError as error:
        if not refuses(error):
            raise
        refusal = error
    parts = _parts(report, refusal)
    if not parts:
        raise refusal
    return [_report(client, lease, part, refuses) for part in parts][-1]


def _parts(report: Report, refusal: FoldstepError) -> Sequence[Report]:
    """Divide a report that was refused; a single result becomes a failure in words, and at last nothing is left."""
    results = report.results
    rest = report.model_copy(update={"results": []})
    if len(results) > 1:
        half = len(results) // 2
        return [Report(results=results[:half]), report.model_copy(update={"results": results[half:]})]
    if results and results[0].folds:
        return [rest.model_copy(update={"results": [_failed(results[0], refusal)]})]
    if results:
        log.error("trial %d cannot be reported: %s", results[0].trial, refusal.message)
        return [rest]
    if report.checks is not None and report.checks.results[0].name != "report":
        message = f"The master refused the report of the checks: {refusal.message}"
        return [report.model_copy(update={"checks": not_run("report", message, _LOOK_AT_REPORT)})]
    plain = Report(release=None if report.release is None else LeaseEnd(), next=report.next)
    if report == plain:
        return []
    log.error("a report is refused, one without content is sent instead: %s", refusal.message)
    return [plain]


def _failed(result: TrialResult, refusal: FoldstepError) -> TrialResult:
    log.error("the result of trial %d is refused: %s", result.trial, refusal.message)
    message = f"The master refused its result: {refusal.message}"
    return TrialResult(trial=result.trial, outcome="failed", folds=[], duration_s=result.duration_s, message=message)
