"""Use case: a worker reports; its lease is renewed, what it finished is stored, and it hears what to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from service.contract.errors import Fault, InvalidInput, NotFound
from service.contract.report import FoldResult, Report, ReportReply, TrialProgress, TrialResult
from service.contract.states import TrialEvent, TrialState
from service.db import leases, scores, searches, trials
from service.db.leases import LeaseRow
from service.db.searches import SearchRow
from service.db.trials import FinishedTrial
from service.flow import files
from service.flow.check import take_report
from service.flow.context import Context
from service.flow.finish import rank_key, settle
from service.flow.prune import clean_up, last_kept, prune


def report(context: Context, lease_id: int, sent: Report) -> ReportReply:
    """Store a report. The same one again changes nothing, and gets the same answer.

    Raises:
        LeaseLost: the lease expired, was released, or its search was deleted.
        InvalidInput: a result does not fit the search.
    """
    now = context.now()
    expires_at = context.lease_end(now)
    with context.database.write() as connection:
        lease, search = lock_lease(connection, lease_id)
        leases.renew(connection, lease, sent.token, now=now, expires_at=expires_at, steps=sent.member_steps)
        states = trials.under(connection, lease_id)
        finished = _store(connection, lease, search, sent, _in(states, TrialState.RUNNING), now)
        folder = files.state_folder(context.settings, search.id)
        trials.record_states(connection, lease_id, files.stored_states(folder, lease_id, sent.states))
        last = last_kept(connection, search)
        dropped = prune(connection, search, last) if finished else []
        if sent.checks is not None:
            search = take_report(connection, search, sent.checks, now)
        search = settle(connection, search, now) if finished else search
        if search.is_over:
            states = trials.under(connection, lease_id)
        stop = sorted(_in(states, TrialState.CANCELLED, TrialState.PRUNED))
        reply = ReportReply(expires_at=expires_at, stop=stop, checkpoint_bar=last.score if last else None)
    clean_up(context, search, dropped)
    return reply


def lock_lease(connection: Connection, lease_id: int) -> tuple[LeaseRow, SearchRow]:
    """A lease, and its search, locked.

    Raises:
        LeaseLost: there is no such lease; its search was deleted.
    """
    lease = leases.get(connection, lease_id)
    try:
        return lease, searches.lock(connection, lease.search_id)
    except NotFound:
        raise leases.lost(lease_id) from None


def _in(states: Mapping[int, TrialState], *wanted: TrialState) -> set[int]:
    return {number for number, state in states.items() if state in wanted}


def _store(
    connection: Connection, lease: LeaseRow, search: SearchRow, sent: Report, running: set[int], now: datetime
) -> bool:
    """Store progress and results of the trials that still run; returns whether any ended."""
    results = list({r.trial: r for r in sent.results if r.trial in running}.values())
    ended = [_ended(search, result) for result in results]
    live = running - {r.trial for r in results}
    progress = sorted((p for p in sent.progress if p.trial in live), key=lambda p: p.trial)
    trials.record_progress(connection, search.id, [_finite(p) for p in progress])
    trials.finish(connection, search.id, lease.id, ended, now)
    scores.add(connection, search.id, [(r.trial, fold) for r in results for fold in r.folds])
    return bool(results)


def _finite(progress: TrialProgress) -> TrialProgress:
    is_bad = progress.score is not None and not math.isfinite(progress.score)
    return progress.model_copy(update={"score": None}) if is_bad else progress


def _ended(search: SearchRow, result: TrialResult) -> FinishedTrial:
    _check(search, result)
    score, spread = _summary([fold.score for fold in result.folds])
    event = {"completed": TrialEvent.COMPLETE, "diverged": TrialEvent.DIVERGE, "failed": TrialEvent.FAIL}[
        result.outcome
    ]
    if event is TrialEvent.COMPLETE and score is None:
        event = TrialEvent.DIVERGE
    is_ranked = event is TrialEvent.COMPLETE and score is not None
    return FinishedTrial(
        number=result.trial,
        event=event,
        score=score if is_ranked else None,
        rank_key=rank_key(search, score) if is_ranked and score is not None else None,
        spread=spread if is_ranked else None,
        epoch=max((fold.epochs for fold in result.folds), default=0),
        duration_s=result.duration_s,
        message=result.message,
        kept=any(fold.checkpoint for fold in result.folds),
    )


def _summary(scores_: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation of the folds' scores; (None, None) where one is missing or not finite."""
    finite = [s for s in scores_ if s is not None and math.isfinite(s)]
    if not finite or len(finite) < len(scores_):
        return None, None
    n = len(finite)
    mean = sum_of(finite) / n
    if not math.isfinite(mean):
        return None, None
    if n == 1:
        return mean, None
    spread = math.sqrt(sum_of([(s - mean) * (s - mean) for s in finite]) / (n - 1))
    return mean, spread if math.isfinite(spread) else None


def sum_of(values: Sequence[float]) -> float:
    """The exact sum, rounded once; infinite where it overflows."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def _check(search: SearchRow, result: TrialResult) -> None:
    numbers = sorted(fold.fold for fold in result.folds)
    is_complete = numbers == list(range(search.n_folds))
    is_partial = len(set(numbers)) == len(numbers) and set(numbers) <= set(range(search.n_folds))
    if not (is_complete if result.outcome == "completed" else is_partial):
        expected = f"each fold from 0 to {search.n_folds - 1} once"
        raise _fault(f"results.{result.trial}.folds", expected, str(numbers))
    for fold in result.folds:
        _check_fold(result.trial, fold)


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
