"""Use case: plan trials ahead of the workers, a bounded number, and never more than the stage asks for.

Methods that learn from results are planned elsewhere, batch by batch (`propose.py`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from prometheus_client import Histogram
from sqlalchemy import Connection

from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchEvent, TrialState
from foldstep.service.db import counts, searches, stages, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.measures import timed
from foldstep.service.planner.base import Proposals
from foldstep.service.planner.stages import make_planner


def start(connection: Connection, search: SearchRow, now: datetime) -> None:
    """Start a queued search, and with it the clock of its time budget."""
    searches.move(connection, search.id, SearchEvent.START, started_at=now, deadline_at=deadline(search, now))


def deadline(search: SearchRow, started_at: datetime) -> datetime | None:
    """Compute when a search that starts then has used up its time budget; None if it has none."""
    time_s = search.spec.budget.time
    return None if time_s is None else started_at + timedelta(seconds=time_s)


def add_stage(connection: Connection, search_id: str, plan: StagePlan, now: datetime) -> None:
    """Store a stage without planned trials."""
    stages.add(connection, search_id, plan.index, plan.model_dump(mode="json"), plan.trials, now)


def fill(
    connection: Connection,
    search: SearchRow,
    stage: StageRow,
    *,
    wanted: int,
    plan_ahead: int,
    now: datetime,
    seconds: Histogram,
) -> int:
    """Plan until enough trials wait.

    Args:
        connection: of a write transaction that has locked the search.
        search: the search.
        stage: its present stage.
        wanted: trials that a worker is about to take.
        plan_ahead: trials that should wait; planning in larger batches costs less.
        now: the time.
        seconds: observes how long planning takes.

    Returns:
        How many trials wait; fewer than wanted only at the end of the stage, or of a batch.
    """
    n_waiting = counts.n_in(connection, search.id, TrialState.WAITING)
    if METHODS[search.spec.method].learns or n_waiting >= max(wanted, plan_ahead // 2):
        return n_waiting
    count = max(wanted, plan_ahead) - n_waiting
    count = count if stage.left is None else min(count, stage.left)
    if count <= 0:
        return n_waiting
    with timed(seconds):
        return n_waiting + _plan(connection, search, stage, count, now)


def _plan(connection: Connection, search: SearchRow, stage: StageRow, count: int, now: datetime) -> int:
    planner = make_planner(search.spec, StagePlan.model_validate(stage.plan))
    proposals = planner.suggest(stage.n_planned, count, [])  # the history changes nothing
    store(connection, search, stage, proposals, now)
    return len(proposals.trials)


def store(connection: Connection, search: SearchRow, stage: StageRow, proposals: Proposals, now: datetime) -> None:
    """Insert what a planner proposed for a locked search, unless others have planned since the stage was read."""
    if stages.count_planned(connection, stage, len(proposals.trials), exhausted=proposals.exhausted):
        trials.add(connection, search.id, proposals.trials, now)
