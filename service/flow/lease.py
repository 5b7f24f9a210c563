"""Use case: lease waiting trials of one search to a free worker."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from sqlalchemy import Connection

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.lease import Lease, LeasedTrial, LeaseRequest
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TERMINAL_TRIAL, SearchState, TrialState
from foldstep.service.db import continued, leases, searches, stages, trials, workers
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.db.trials import ClaimedTrial
from foldstep.service.flow.check import grant_checks, new_token
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle
from foldstep.service.flow.plan import fill, start
from foldstep.service.flow.propose import propose
from foldstep.service.flow.prune import clean_up, last_kept, last_with_snapshot, stale_snapshots
from foldstep.service.flow.rungs import next_rung
from foldstep.service.flow.sweep import sweep
from foldstep.service.planner.stages import n_continued

FEW, SHARE_OF_TIME = 8, 1 / 4
"""Under a time budget: trials that a lease may have at any pace; share of the time left that a larger one may take."""


def lease(context: Context, request: LeaseRequest) -> Lease | None:
    """Lease trials to a worker, from the search that has the fewest in training; None if none is waiting.

    A search that is to be checked first leases its checks, to one worker, and no trials until they are done.

    Raises:
        NotFound: the worker is not registered.
    """
    now = context.now()
    with context.database.write() as connection:
        workers.seen(connection, request.worker, now)
    sweep(context)
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
    clean_up(context, search, snapshots=stale)
    return granted


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
    token, expires_at = new_token(), context.lease_end(now)
    lease_id = leases.grant(
        connection, token=token, worker_id=request.worker, search_id=search.id, expires_at=expires_at, now=now
    )
    last, with_snapshot = last_kept(connection, search), last_with_snapshot(connection, search)
    plan = StagePlan.model_validate(stage.plan)
    claimed = trials.claim(connection, search.id, limit, lease_id, request.worker)
    legs = continued.legs(connection, search.id, {t.number: t.continues for t in claimed if t.continues is not None})
    return Lease(
        lease=lease_id,
        token=token,
        expires_at=expires_at,
        search=search.id,
        problem=search.problem,
        trials=[_leased(search, plan, trial, legs.get(trial.number, [])) for trial in claimed],
        keep_checkpoints=search.spec.checkpoints.limit,
        checkpoint_bar=last.score if last else None,
        snapshot_bar=with_snapshot.score if with_snapshot else None,
        trial_time_s=search.spec.budget.trial_time,
        time_left_s=search.time_left_s(now),
    )


def _leased(search: SearchRow, plan: StagePlan, trial: ClaimedTrial, legs: list[int]) -> LeasedTrial:
    rung = next_rung(search, plan, trial)
    return LeasedTrial(
        number=trial.number,
        params=trial.params,
        attempt=trial.attempts,
        resume=trial.resume,
        until=rung.epoch if rung else None,
        folds=rung.folds if rung else None,
        legs=legs,
        keep_snapshot=n_continued(search.spec, search.stage) > 0,
    )


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
    n_left = trials.n_in(connection, search.id, TrialState.RUNNING) if is_learning else stage.left
    if n_left is not None:
        n_open = n_left + trials.n_in(connection, search.id, TrialState.WAITING)
        share = min(share, math.ceil(n_open / n_workers))
    left_s = search.time_left_s(now)
    if left_s is not None:
        share = min(share, _fitting(connection, search, left_s, n_workers))
    parallel = search.spec.budget.parallel
    if parallel is not None:
        share = min(share, parallel - trials.n_in(connection, search.id, TrialState.RUNNING))
    return share


def _fitting(connection: Connection, search: SearchRow, left_s: float, n_workers: int) -> int:
    """Compute how many trials fit a share of the time left, at the pace so far, so that few are cut at its end."""
    assert search.spec.budget.time is not None
    counts = trials.counts(connection, [search.id])[search.id]
    n_ended = sum(n for state, n in counts.items() if state in TERMINAL_TRIAL)
    pace = n_ended / max(search.spec.budget.time - left_s, 1.0) / n_workers
    return max(FEW, math.ceil(pace * left_s * SHARE_OF_TIME))
