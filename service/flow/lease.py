"""Use case: lease waiting trials of one search to a free worker."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.effort import training_seconds
from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.contract.logs import say
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.stage import StagePlan
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
from foldstep.service.flow.refit import plan_refit
from foldstep.service.flow.repeat import repeat
from foldstep.service.flow.sweep import sweep_if_due

_log = logging.getLogger(__name__)
FEW, SHARE_OF_TIME = 4, 1 / 4
"""Under a time budget: most trials of a lease while no pace is known; share of the time left that a lease may take."""
LEASES_AHEAD = 12
"""Leases for which trials wait, on Postgres."""
MOST_TURNS = 8
"""Times that a request waits for others that plan, before it plans itself."""


def lease(context: Context, request: LeaseRequest) -> Lease | None:
    """Lease trials to a worker, from the search that has the fewest in training; None if none is waiting.

    A search that is to be checked first leases its checks, to one worker, and no trials until they are done. A request
    that is repeated under its key gets the same lease again.

    Raises:
        NotFound: the worker is not registered, or its parent said that it is dead.
    """
    sweep_if_due(context)
    now = context.now()
    try:
        first = _at_once(context, request, now)
    except (_NoneLeft, KeyTaken):  # others were quicker; nothing was written
        first = _First(_seen(context, request, now), None, is_tried=False)
    if first.lease is not None:
        return _told(context, first.lease, request)
    try:
        return _granted(context, first, request, now)
    except KeyTaken:  # by the same request, which was still being answered
        return _granted(context, first, request, now)


class _First(NamedTuple):
    """The searches to serve, and the lease from the first one, if trials of it wait and nothing else is due.

    Attributes:
        is_tried: whether the first one was looked at for that.
    """

    ids: Sequence[str]
    lease: Lease | None
    is_tried: bool


def _at_once(context: Context, request: LeaseRequest, now: datetime) -> _First:
    """Lease in one transaction, which is all that most requests need.

    Raises:
        _NoneLeft: others have taken the trials.
        KeyTaken: by the same request, which was still being answered.
    """
    with context.database.write() as connection:
        workers.seen(connection, request.worker, now)
        ids = searches.ids_to_serve(connection)
        is_repeated = request.key is not None and leases.by_key(connection, request.key) is not None
        if not ids or is_repeated:
            return _First(ids, None, is_tried=False)
        return _First(ids, _waiting_of(connection, context, ids[0], request, now), is_tried=True)


def _seen(context: Context, request: LeaseRequest, now: datetime) -> Sequence[str]:
    with context.database.write() as connection:
        workers.seen(connection, request.worker, now)
        return searches.ids_to_serve(connection)


def _granted(context: Context, first: _First, request: LeaseRequest, now: datetime) -> Lease | None:
    repeated = repeat(context, request)
    if repeated is not None:
        return repeated.lease
    for place, search_id in enumerate(first.ids):
        is_tried = first.is_tried and place == 0
        found = None if is_tried else _from_waiting(context, search_id, request, now)
        found = found or _planned(context, search_id, request, now)
        if found is not None:
            return _told(context, found, request)
    return None


def _planned(context: Context, search_id: str, request: LeaseRequest, now: datetime) -> Lease | None:
    """Lease trials, which are planned first where too few wait.

    On Postgres one thread of a master plans at a time. Those that waited for it take what it has planned, side by side,
    instead of each taking the lock of the search; they hold no connection meanwhile.
    """
    if context.database.is_sqlite or not _is_plain(context, search_id, now):
        return _with_lock(context, search_id, request, now)
    turn = context.turns.of(search_id)
    for _ in range(MOST_TURNS):
        seen = turn.n
        with turn.lock:
            if turn.n == seen:
                try:
                    return _with_lock(context, search_id, request, now)
                finally:
                    turn.n += 1
        found = _from_waiting(context, search_id, request, now)
        if found is not None:
            return found
    return _with_lock(context, search_id, request, now)


def _is_plain(context: Context, search_id: str, now: datetime) -> bool:
    """Tell whether nothing but a plan may be due in a search."""
    try:
        with context.database.read() as connection:
            search = searches.get(connection, search_id)
    except NotFound:
        return False
    return search.state is SearchState.QUEUED or _only_waits(search, now)


def _told(context: Context, granted: Lease, request: LeaseRequest) -> Lease:
    context.watch.saw(granted.lease, 0)
    _note(context, granted, request.worker)
    return granted


class _NoneLeft(Exception):
    """Others were quicker; raised so that no lease without trials is stored."""


def _from_waiting(context: Context, search_id: str, request: LeaseRequest, now: datetime) -> Lease | None:
    """Lease trials that wait already; None where more is to be done, or none is left."""
    try:
        with context.database.write() as connection:
            return _waiting_of(connection, context, search_id, request, now)
    except _NoneLeft:
        return None


def _waiting_of(
    connection: Connection, context: Context, search_id: str, request: LeaseRequest, now: datetime
) -> Lease | None:
    """Lease trials that wait already, without a lock on the search; None where more is to be done first.

    So masters that share a database give out trials of one search side by side, while one of them plans the next.

    Raises:
        _NoneLeft: others have taken them; the transaction is to be given up.
    """
    try:
        search = searches.get(connection, search_id)
    except NotFound:
        return None  # deleted since it was listed
    if not _only_waits(search, now):
        return None
    stage = stages.get(connection, search_id, search.stage)
    limit = _share(connection, context, search, stage, request.members, now)
    if limit < 1 or _must_plan(connection, context, stage, limit):
        return None
    return _claim(connection, context, search, stage, request, limit, now)


def _only_waits(search: SearchRow, now: datetime) -> bool:
    """Tell whether trials of a search may be leased without a look at what else is due."""
    spec = search.spec
    is_plain = spec.early_stop is None and spec.budget.parallel is None and not METHODS[spec.method].learns
    is_open = search.state is SearchState.RUNNING and search.time_left_s(now) != 0
    return is_open and is_plain and not search.awaits_checks


def _must_plan(connection: Connection, context: Context, stage: StageRow, limit: int) -> bool:
    """Tell whether trials are to be planned first; while another master does so, those that wait are enough."""
    n_waiting = counts.n_in(connection, stage.search_id, TrialState.WAITING)
    if stage.left == 0 or n_waiting >= max(limit, _ahead(context, limit) // 2):
        return n_waiting == 0
    return n_waiting < limit or searches.is_free(connection, stage.search_id)


def _ahead(context: Context, limit: int) -> int:
    """Compute how many trials should wait: some leases' worth, since many workers ask at the same time."""
    plan_ahead = context.settings.plan_ahead
    return plan_ahead if context.database.is_sqlite else max(plan_ahead, LEASES_AHEAD * limit)


def _with_lock(context: Context, search_id: str, request: LeaseRequest, now: datetime) -> Lease | None:
    """Do all that is due in a search, under its lock, and lease trials of it."""
    propose(context, search_id)
    if not plan_refit(context, search_id):
        return None
    try:
        search, stale, granted = _locked(context, search_id, request, now)
    except (NotFound, _NoneLeft):
        return None  # deleted since it was listed, or others were quicker
    clean_up(context, search, snapshots=stale)
    return granted


def _locked(
    context: Context, search_id: str, request: LeaseRequest, now: datetime
) -> tuple[SearchRow, list[str], Lease | None]:
    """Return the search as it then is, its stale snapshots, and the lease.

    Raises:
        NotFound: the search was deleted.
        _NoneLeft: others have taken the trials.
    """
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
    plan_ahead = _ahead(context, limit)
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
        share = min(share, _fitting(connection, search, stage, left_s, n_workers))
    parallel = search.spec.budget.parallel
    if parallel is not None:
        share = min(share, parallel - counts.n_in(connection, search.id, TrialState.RUNNING))
    return share


def _fitting(connection: Connection, search: SearchRow, stage: StageRow, left_s: float, n_workers: int) -> int:
    """Compute how many trials fit a share of the time left, at the pace so far: few are cut, and nobody waits long."""
    assert search.spec.budget.time is not None
    by_state = counts.by_state(connection, search.id)
    n_ended = sum(n for state, n in by_state.items() if state in TERMINAL_TRIAL)
    if n_ended == 0:
        seconds = _typical_seconds(search, StagePlan.model_validate(stage.plan))
        return FEW if not seconds else min(FEW, max(1, int(left_s * SHARE_OF_TIME / seconds)))
    pace = n_ended / max(search.spec.budget.time - left_s, 1.0) / n_workers
    return max(1, math.ceil(pace * left_s * SHARE_OF_TIME))


def _typical_seconds(search: SearchRow, plan: StagePlan) -> float | None:
    """Estimate the seconds of a trial in the middle of the space."""
    params = plan.space.from_unit({})
    epochs = {} if plan.epochs is None else {"epochs": plan.epochs}
    return training_seconds(resolve({**params, **epochs}, seed=search.spec.seed), search.problem)
