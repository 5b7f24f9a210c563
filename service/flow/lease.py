"""Use case: lease waiting trials of one search to a free worker."""

from __future__ import annotations

import logging
import math
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
    now = context.now()
    with context.database.write() as connection:
        workers.seen(connection, request.worker, now)
    try:
        return _granted(context, request, now)
    except KeyTaken:  # by the same request, which was still being answered
        return _granted(context, request, now)


def _granted(context: Context, request: LeaseRequest, now: datetime) -> Lease | None:
    repeated = repeat(context, request)
    if repeated is not None:
        return repeated.lease
    sweep_if_due(context)
    with context.database.read() as connection:
        ids = searches.ids_to_serve(connection)
    granted = (_lease_from(context, search_id, request, now) for search_id in ids)
    return next((lease for lease in granted if lease is not None), None)


def _lease_from(context: Context, search_id: str, request: LeaseRequest, now: datetime) -> Lease | None:
    propose(context, search_id)
    with context.database.write() as connection:
        search = _lock_if_open(connection, search_id)
        if search is None:
            return None
        if search.state is SearchState.QUEUED:
            start(connection, search, now)
            search = searches.get(connection, search_id)
        search = settle(connection, search, now)
        stale = stale_snapshots(connection, context, search)
        granted = None if search.is_over else _grant(connection, context, search, request, now)
    if granted is not None:
        context.watch.saw(granted.lease, 0)
    clean_up(context, search, snapshots=stale)
    if granted is not None:
        _note(context, granted, request.worker)
    return granted


def _note(context: Context, granted: Lease, worker: int) -> None:
    context.measures.leases.labels("granted").inc()
    what = "the checks" if granted.purpose == "check" else f"{len(granted.trials)} trials"
    numbers = [trial.number for trial in granted.trials]
    ids = {"lease": granted.lease, "search": granted.search, "worker": worker, "trials": numbers}
    say(_log, logging.INFO, f"leased {what}", **ids)


def _lock_if_open(connection: Connection, search_id: str) -> SearchRow | None:
    try:
        search = searches.lock(connection, search_id)
    except NotFound:
        return None  # deleted since it was listed
    return search if search.state in (SearchState.QUEUED, SearchState.RUNNING) else None


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
    if not fill(connection, search, stage, wanted=limit, plan_ahead=plan_ahead, now=now):
        return None
    token, expires_at = new_token(request.key), context.lease_end(now)
    lease_id = leases.grant(connection, request, token=token, search_id=search.id, expires_at=expires_at, now=now)
    claimed = trials.claim(connection, search.id, limit, lease_id, request.worker)
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
