"""Use case: lease waiting trials of one search to a free worker."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.contract.logs import say
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.states import TERMINAL_TRIAL, SearchState, TrialState
from foldstep.service.db import counts, leases, searches, stages, trials, workers
from foldstep.service.db.leases import KeyTaken
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.check import grant_checks
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle
from foldstep.service.flow.grant import Grant, new_token, training
from foldstep.service.flow.plan import fill, start
from foldstep.service.flow.propose import propose
from foldstep.service.flow.prune import clean_up, stale_snapshots
from foldstep.service.flow.repeat import repeat
from foldstep.service.flow.sweep import sweep_if_due

_log = logging.getLogger(__name__)
FEW, SHARE_OF_TIME = 8, 1 / 4
"""Under a time budget: trials that a lease may have at any pace; share of the time left that a larger one may take."""


def lease(context: Context, request: LeaseRequest) -> Lease | None:
    """Lease trials to a worker, from the search that has the fewest in training; None if none is waiting.

    A search that is to be checked first leases its checks, to one worker, and no trials until they are done. A request
    that is repeated under its key gets the same lease again.

    Raises:
        NotFound: the worker is not registered, or its parent said that it is dead.
    """
    sweep_if_due(context)
    now = context.now()
    with context.database.write() as connection:
        workers.seen(connection, request.worker, now)
        ids = searches.ids_to_serve(connection)
    try:
        return _granted(context, ids, request, now)
    except KeyTaken:  # by the same request, which was still being answered
        return _granted(context, ids, request, now)


def _granted(context: Context, ids: Sequence[str], request: LeaseRequest, now: datetime) -> Lease | None:
    repeated = repeat(context, request)
    if repeated is not None:
        return repeated.lease
    granted = (_lease_from(context, search_id, request, now) for search_id in ids)
    return next((lease for lease in granted if lease is not None), None)


def _lease_from(context: Context, search_id: str, request: LeaseRequest, now: datetime) -> Lease | None:
    granted = _from_waiting(context, search_id, request, now) or _with_lock(context, search_id, request, now)
    if granted is not None:
        context.watch.saw(granted.lease, 0)
        _note(context, granted, request.worker)
    return granted


class _NoneLeft(Exception):
    """Others were quicker; raised so that no lease without trials is stored."""


def _from_waiting(context: Context, search_id: str, request: LeaseRequest, now: datetime) -> Lease | None:
    """Lease trials that wait already, without a lock on the search; None where more is to be done, or none is left.

    So masters that share a database give out trials of one search side by side, while one of them plans the next.
    """
    try:
        with context.database.write() as connection:
            search = searches.get(connection, search_id)
            if not _only_waits(search, now):
                return None
            stage = stages.get(connection, search_id, search.stage)
            limit = _share(connection, context, search, stage, request.members, now)
            if limit < 1 or _must_plan(connection, context, stage, limit):
                return None
            return _claim(connection, context, search, stage, request, limit, now)
    except (NotFound, _NoneLeft):
        return None


def _only_waits(search: SearchRow, now: datetime) -> bool:
    """Tell whether trials of a search may be leased without a look at what else is due."""
    spec = search.spec
    is_plain = spec.early_stop is None and spec.budget.parallel is None and not METHODS[spec.method].learns
    is_open = search.state is SearchState.RUNNING and search.time_left_s(now) != 0
    return is_open and is_plain and not search.awaits_checks


def _must_plan(connection: Connection, context: Context, stage: StageRow, limit: int) -> bool:
    """Tell whether trials are to be planned first; while another master does so, those that wait are enough."""
    n_waiting = counts.n_in(connection, stage.search_id, TrialState.WAITING)
    if stage.left == 0 or n_waiting >= max(limit, context.settings.plan_ahead // 2):
        return n_waiting == 0
    return n_waiting < limit or searches.is_free(connection, stage.search_id)


def _with_lock(context: Context, search_id: str, request: LeaseRequest, now: datetime) -> Lease | None:
    """Do all that is due in a search, under its lock, and lease trials of it."""
    propose(context, search_id)
    try:
        search, stale, granted = _locked(context, search_id, request, now)
    except (NotFound, _NoneLeft):
        return None  # deleted since it was listed, or others were quicker
    clean_up(context, search, snapshots=stale)
    return granted


def _locked(
    context: Context, search_id: str, request: LeaseRequest, now: datetime
) -> tuple[SearchRow, list[str], Lease | None]:
    """Return the search as it then is, its stale snapshots, and the lease."""
    with context.database.write() as connection:
        search = searches.lock(connection, search_id)
        if search.state not in (SearchState.QUEUED, SearchState.RUNNING):
            return search, [], None
        if search.state is SearchState.QUEUED:
            start(connection, search, now)
            search = searches.get(connection, search_id)
        search = settle(connection, search, now)
        stale = stale_snapshots(connection, context, search)
        return search, stale, None if search.is_over else _grant(connection, context, search, request, now)


def _note(context: Context, granted: Lease, worker: int) -> None:
    context.measures.leases.labels("granted").inc()
    what = "the checks" if granted.purpose == "check" else f"{len(granted.trials)} trials"
    numbers = [trial.number for trial in granted.trials]
    ids = {"lease": granted.lease, "search": granted.search, "worker": worker, "trials": numbers}
    say(_log, logging.INFO, f"leased {what}", **ids)


def _grant(
    connection: Connection, context: Context, search: SearchRow, request: LeaseRequest, now: datetime
) -> Lease | None:
    if search.time_left_s(now) == 0:
        return None
    if search.awaits_checks:
        return grant_checks(connection, context, search, request, now)
    stage = stages.get(connection, search.id, search.stage)
    limit = _share(connection, context, search, stage, request.members, now)
    if limit < 1:
        return None
    plan_ahead = context.settings.plan_ahead
    seconds = context.measures.planner_seconds.labels(search.spec.method)
    if not fill(connection, search, stage, wanted=limit, plan_ahead=plan_ahead, now=now, seconds=seconds):
        return None
    return _claim(connection, context, search, stage, request, limit, now)


def _claim(
    connection: Connection,
    context: Context,
    search: SearchRow,
    stage: StageRow,
    request: LeaseRequest,
    limit: int,
    now: datetime,
) -> Lease:
    """Grant a lease of at most `limit` waiting trials.

    Raises:
        _NoneLeft: others have taken them; the transaction is to be given up.
    """
    token, expires_at = new_token(request.key), context.lease_end(now)
    lease_id = leases.grant(connection, request, token=token, search_id=search.id, expires_at=expires_at, now=now)
    claimed = trials.claim(connection, search.id, limit, lease_id, request.worker)
    if not claimed:
        raise _NoneLeft
    return training(connection, search, stage, claimed, Grant(lease_id, token, expires_at), now)


def _share(
    connection: Connection, context: Context, search: SearchRow, stage: StageRow, members: int, now: datetime
) -> int:
    """Compute how many trials a worker gets: as many as it trains at once, but at most a fair share of those left.

    Shares shrink with what is left (guided self-scheduling, Polychronopoulos and Kuck 1987), so that all workers
    have work and end at about the same time. A batch of a method that learns is shared evenly: it is small, and a few
    trials take hardly less time in lockstep than twice as many.
    """
    share = max(1, members // search.problem.n_folds)
    n_workers = max(1, workers.n_active(connection, now - timedelta(seconds=context.settings.lease_ttl_s)))
    is_learning = METHODS[search.spec.method].learns
    n_left = counts.n_in(connection, search.id, TrialState.RUNNING) if is_learning else stage.left
    if n_left is not None:
        n_open = n_left + counts.n_in(connection, search.id, TrialState.WAITING)
        share = min(share, math.ceil(n_open / n_workers))
    left_s = search.time_left_s(now)
    if left_s is not None:
        share = min(share, _fitting(connection, search, left_s, n_workers))
    parallel = search.spec.budget.parallel
    if parallel is not None:
        share = min(share, parallel - counts.n_in(connection, search.id, TrialState.RUNNING))
    return share


def _fitting(connection: Connection, search: SearchRow, left_s: float, n_workers: int) -> int:
    """Compute how many trials fit a share of the time left, at the pace so far, so that few are cut at its end."""
    assert search.spec.budget.time is not None
    by_state = counts.by_state(connection, search.id)
    n_ended = sum(n for state, n in by_state.items() if state in TERMINAL_TRIAL)
    pace = n_ended / max(search.spec.budget.time - left_s, 1.0) / n_workers
    return max(FEW, math.ceil(pace * left_s * SHARE_OF_TIME))
