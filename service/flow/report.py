"""Use case: a worker reports; its lease is renewed, its results are stored, and the reply names the trials to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from foldstep.service.contract.errors import Fault, InvalidInput, NotFound
from foldstep.service.contract.report import FoldResult, Outcome, Report, ReportReply, TrialProgress, TrialResult
from foldstep.service.contract.states import TrialEvent, TrialState
from foldstep.service.db import held, leases, paces, rungs, scores, searches, trials
from foldstep.service.db.held import HeldTrial
from foldstep.service.db.leases import LeaseRow
from foldstep.service.db.rungs import PausedTrial, RungRow
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.trials import FinishedTrial, Place
from foldstep.service.flow import files
from foldstep.service.flow.check import take_report
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle, settle_if_due
from foldstep.service.flow.hold import find_lease, is_released, regain
from foldstep.service.flow.lease import lease
from foldstep.service.flow.prune import clean_up, last_kept, last_with_snapshot, prune, prune_snapshots
from foldstep.service.flow.quota import keep_within_quota
from foldstep.service.flow.release import release_held
from foldstep.service.flow.rungs import fold_scores, paused, to_the_end
from foldstep.service.flow.score import mean_and_spread, rank_key
from foldstep.service.planner.stages import n_continued


def is_progress(sent: Report) -> bool:
    """Tell whether a report only tells how far trials are: it takes a few statements, and touches no file."""
    return not (sent.results or sent.snapshots or sent.checks or sent.release or sent.next)


def report(context: Context, lease_id: int, token: str, sent: Report) -> ReportReply:
    """Store a report, end the lease and lease the next trials where it asks for that.

    The same one again changes nothing, and gets the same answer.

    Raises:
        LeaseLost: the lease is another worker's, was released, or its search was deleted.
        InvalidInput: a result does not fit the search.
    """
    reply = _stored(context, lease_id, token, sent)
    if sent.next is None:
        return reply
    try:
        return reply.model_copy(update={"lease": lease(context, sent.next)})
    except NotFound:
        return reply  # the report is stored; a request of its own will be told that the worker is not registered


def _stored(context: Context, lease_id: int, token: str, sent: Report) -> ReportReply:
    now = context.now()
    with context.database.write() as connection:
        lease, search, is_locked = _found(connection, context, lease_id, sent)
        renewals = _renew(connection, context, lease, search, token, sent)
        under = held.trials_of(connection, lease_id)
        if renewals is None:  # a repeated report, whose first answer was lost
            return _reply(context, search, _states(under), _bars(connection, search), sent)
        saved = _saved(context, search, lease_id, sent)
        stored = _store(connection, lease, search, sent, under, saved, now)
        trials.record_snapshots(connection, lease_id, saved)
        bars = _bars(connection, search)
        dropped = prune(connection, search, bars[0]) if stored.ended else []
        snapshots_dropped = prune_snapshots(connection, search, bars[1]) if stored.ended else []
        if sent.checks is not None:
            search = take_report(connection, search, sent.checks, now)
        if sent.release is not None:
            release_held(connection, context, search, lease_id, token, sent.release)
        ends = stored.ended or sent.release is not None
        search = settle(connection, search, now) if ends and is_locked else search
        states = trials.under(connection, lease_id) if search.is_over else _states(under)
        _record_pace(
            connection, context, lease, sent.member_steps, stored.epochs
        )  # last, as it locks a row of all reports
    context.watch.saw(lease_id, renewals)
    if ends and not is_locked:
        search, states = _settled(context, search, lease_id, states)
    clean_up(context, search, dropped, snapshots_dropped)
    if stored.ended:
        keep_within_quota(context, search.id)
    return _reply(context, search, states, bars, sent)


def _found(connection: Connection, context: Context, lease_id: int, sent: Report) -> tuple[LeaseRow, SearchRow, bool]:
    """Find a lease and its search, which is locked where that is needed; say whether it is."""
    if context.database.is_sqlite:  # a transaction that writes locks all
        return *find_lease(connection, lease_id), True
    lease, search = find_lease(connection, lease_id)
    if not needs_lock(search, sent):
        return lease, search, False
    return lease, searches.lock(connection, search.id), True


def _saved(context: Context, search: SearchRow, lease_id: int, sent: Report) -> Mapping[int, str]:
    if not sent.snapshots:
        return {}
    return files.stored_snapshots(files.snapshot_folder(context.settings, search.id), lease_id, sent.snapshots)


def _states(held: Mapping[int, HeldTrial]) -> dict[int, TrialState]:
    return {number: trial.state for number, trial in held.items()}


def _settled(
    context: Context, search: SearchRow, lease_id: int, states: dict[int, TrialState]
) -> tuple[SearchRow, dict[int, TrialState]]:
    """End a search, where that is due by now, and find the states of a lease's trials then."""
    search = settle_if_due(context, search)
    if search.is_over:
        with context.database.read() as connection:
            states = trials.under(connection, lease_id)
    return search, states


def needs_lock(search: SearchRow, sent: Report) -> bool:
    """Tell whether a report changes more than the trials of its own lease, so that its search is to be locked."""
    return sent.checks is not None or search.spec.early_stop is not None


def _renew(
    connection: Connection, context: Context, lease: LeaseRow, search: SearchRow, token: str, sent: Report
) -> int | None:
    """Renew a lease, and count its renewals; None where this report has released it before.

    Raises:
        LeaseLost: it is not the worker's any more.
    """
    now = context.now()
    expires_at = context.lease_end(now)
    renewals = leases.renew(connection, lease, token, now=now, expires_at=expires_at, steps=sent.member_steps)
    if renewals is not None:
        return renewals
    if sent.release is not None and is_released(connection, lease.id, token):
        return None
    return regain(connection, searches.lock(connection, search.id), lease.id, token, expires_at)


def _bars(connection: Connection, search: SearchRow) -> tuple[Place | None, Place | None]:
    """Find the last trials whose checkpoints, and whose snapshots, are kept."""
    return last_kept(connection, search), last_with_snapshot(connection, search)


def _reply(
    context: Context,
    search: SearchRow,
    states: Mapping[int, TrialState],
    bars: tuple[Place | None, Place | None],
    sent: Report,
) -> ReportReply:
    now = context.now()
    kept, with_snapshot = bars
    return ReportReply(
        expires_at=context.lease_end(now),
        stop=_to_stop(states, sent),
        checkpoint_bar=kept.score if kept else None,
        snapshot_bar=with_snapshot.score if with_snapshot else None,
        time_left_s=search.time_left_s(now),
    )


def _to_stop(states: Mapping[int, TrialState], sent: Report) -> list[int]:
    """List the trials that are to stop: those that ended otherwise, and those that are no longer under the lease."""
    if sent.release is not None:
        return []
    elsewhere = {p.trial for p in sent.progress} - states.keys()
    return sorted(_in(states, TrialState.CANCELLED, TrialState.PRUNED) | elsewhere)


def _record_pace(connection: Connection, context: Context, lease: LeaseRow, member_steps: int, epochs: int) -> None:
    """Add a report to the pace of its search; a trial that starts over after a crash takes no epochs away.

    Where another master writes the pace just now, the next report adds this one.
    """
    earlier_steps, earlier_epochs = context.unrecorded.pop(lease.search_id, (0, 0))
    steps, epochs = earlier_steps + member_steps, earlier_epochs + max(epochs, 0)
    since, now = lease.reported_at, context.now()
    if not paces.record(connection, lease.search_id, member_steps=steps, epochs=epochs, since=since, now=now):
        context.unrecorded[lease.search_id] = (steps, epochs)


def _in(states: Mapping[int, TrialState], *wanted: TrialState) -> set[int]:
    return {number for number, state in states.items() if state in wanted}


class _Stored(NamedTuple):
    """What a report changed: whether a trial ended or reached a rung, and the epochs trained since the last one."""

    ended: bool
    epochs: int


def _store(
    connection: Connection,
    lease: LeaseRow,
    search: SearchRow,
    sent: Report,
    held: Mapping[int, HeldTrial],
    saved: Mapping[int, str],
    now: datetime,
) -> _Stored:
    """Store progress and results of the trials that still run."""
    running = {number: trial for number, trial in held.items() if trial.state is TrialState.RUNNING}
    results = list({r.trial: r for r in sent.results if r.trial in running}.values())
    rows = _rungs(search, running)
    ended = [_ended(search, r, rows.get(r.trial), saved.get(r.trial)) for r in results if r.outcome != "paused"]
    at_rung = [_paused(search, r, rows, saved.get(r.trial)) for r in results if r.outcome == "paused"]
    live = running.keys() - {r.trial for r in results}
    progress = sorted((p for p in sent.progress if p.trial in live), key=lambda p: p.trial)
    trials.record_progress(connection, search.id, lease.id, [_finite(p) for p in progress])
    if results:
        trials.finish(connection, search.id, lease.id, ended, now)
        rungs.pause(connection, search.id, lease.id, at_rung)
        store = scores.add if search.spec.early_stop is None else scores.replace
        store(connection, search.id, [(r.trial, fold) for r in results for fold in r.folds])
    reached = {p.trial: p.epoch for p in progress}
    reached |= {trial.number: trial.epoch for trial in ended} | {trial.number: trial.epoch for trial in at_rung}
    return _Stored(bool(results), sum(epoch - running[number].epoch for number, epoch in reached.items()))


def _finite(progress: TrialProgress) -> TrialProgress:
    is_bad = progress.score is not None and not math.isfinite(progress.score)
    return progress.model_copy(update={"score": None}) if is_bad else progress


def _rungs(search: SearchRow, running: Mapping[int, HeldTrial]) -> dict[int, RungRow]:
    """Choose the trials of the present stage, with their scores at the rungs; none for a search without rungs."""
    if search.spec.early_stop is None:
        return {}
    own = ((number, trial) for number, trial in running.items() if trial.stage == search.stage)
    return {number: RungRow(number, trial.state, trial.epochs, trial.rungs) for number, trial in own}


def _paused(search: SearchRow, result: TrialResult, rows: Mapping[int, RungRow], resume: str | None) -> PausedTrial:
    _check(search, result)
    if result.trial not in rows or not result.folds:
        raise _fault(f"results.{result.trial}.outcome", "another one: this trial waits nowhere", "paused")
    return paused(result, rows[result.trial].rungs, resume)


EVENTS: Mapping[Outcome, TrialEvent] = {
    "completed": TrialEvent.COMPLETE,
    "diverged": TrialEvent.DIVERGE,
    "failed": TrialEvent.FAIL,
    "pruned": TrialEvent.PRUNE,
    "undefined": TrialEvent.UNDEFINE,
}
"""The event of the trial's state machine for each outcome that ends a trial."""


_MEAN_OVERFLOWS = "Its folds have scores, but their mean is too large for double precision."


def _ended(search: SearchRow, result: TrialResult, row: RungRow | None, resume: str | None) -> FinishedTrial:
    _check(search, result)
    score, spread = mean_and_spread([fold.score for fold in result.folds])
    event, message = EVENTS[result.outcome], result.message
    if event in (TrialEvent.COMPLETE, TrialEvent.PRUNE) and score is None:
        is_overflow = bool(result.folds) and None not in fold_scores(result.folds)
        event = TrialEvent.UNDEFINE if is_overflow else TrialEvent.DIVERGE
        message = message or (_MEAN_OVERFLOWS if is_overflow else None)
    has_score = event in (TrialEvent.COMPLETE, TrialEvent.PRUNE)
    is_ranked = has_score and len(result.folds) == search.problem.n_folds
    reached = row.rungs if row is not None else None
    return FinishedTrial(
        number=result.trial,
        event=event,
        score=score if has_score else None,
        rank_key=rank_key(search, score) if is_ranked and score is not None else None,
        spread=spread if has_score else None,
        epoch=max((fold.epochs for fold in result.folds), default=0),
        duration_s=result.duration_s,
        message=message,
        kept=any(fold.checkpoint for fold in result.folds),
        rungs=to_the_end(search, row, fold_scores(result.folds)) if has_score and row is not None else reached,
        resume=resume if n_continued(search.spec, search.stage) else None,
    )


def _check(search: SearchRow, result: TrialResult) -> None:
    numbers = sorted(fold.fold for fold in result.folds)
    is_complete = numbers == list(range(search.problem.n_folds))
    is_partial = len(set(numbers)) == len(numbers) and set(numbers) <= set(range(search.problem.n_folds))
    if not (is_complete if result.outcome == "completed" else is_partial):
        expected = f"each fold from 0 to {search.problem.n_folds - 1} once"
        raise _fault(f"results.{result.trial}.folds", expected, str(numbers))
    n_targets = len(search.problem.data.targets)
    for fold in result.folds:
        _check_fold(result.trial, fold)
        if fold.target_scores and len(fold.target_scores) != n_targets:
            path = f"results.{result.trial}.folds.{fold.fold}.target_scores"
            raise _fault(path, f"one for each of {n_targets} targets", str(len(fold.target_scores)))


def _check_fold(trial: int, fold: FoldResult) -> None:
    if not 0 <= fold.best_epoch <= fold.epochs:
        expected = f"0 to {fold.epochs}, the trained epochs"
        raise _fault(f"results.{trial}.folds.{fold.fold}.best_epoch", expected, str(fold.best_epoch))
    if fold.checkpoint is not None:
        name = files.parse_checkpoint(fold.checkpoint)
        if (name.trial, name.fold) != (trial, fold.fold):
            path = f"results.{trial}.folds.{fold.fold}.checkpoint"
            raise _fault(path, "the name of this trial and fold", fold.checkpoint)


def _fault(path: str, expected: str, got: str) -> InvalidInput:
    fault = Fault(code="bad_result", path=path, expected=expected, got=got)
    return InvalidInput(f"A result cannot be stored: {fault}.", faults=[fault])
