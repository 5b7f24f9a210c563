"""Use case: plan trials ahead of the workers, a bounded number, and never more than the stage asks for."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from service.contract.stage import StagePlan
from service.contract.states import SearchEvent, TrialState
from service.contract.trial import TrialRecord
from service.db import searches, stages, trials
from service.db.searches import SearchRow
from service.db.stages import StageRow
from service.planner.base import IndexedPlanner, Planner
from service.planner.stages import make_planner


def start(connection: Connection, search: SearchRow, now: datetime) -> None:
    """Start a queued search, and with it the clock of its time budget."""
    searches.move(connection, search.id, SearchEvent.START, started_at=now, deadline_at=deadline(search, now))


def deadline(search: SearchRow, started_at: datetime) -> datetime | None:
    """When a search that starts then has used its time budget up; None where it has none."""
    time_s = search.spec.budget.time
    return None if time_s is None else started_at + timedelta(seconds=time_s)


def add_stage(connection: Connection, search_id: str, plan: StagePlan, now: datetime) -> None:
    """Store a stage, nothing of it planned yet."""
    stages.add(connection, search_id, plan.index, plan.model_dump(mode="json"), plan.trials, now)


def fill(
    connection: Connection, search: SearchRow, stage: StageRow, *, wanted: int, plan_ahead: int, now: datetime
) -> int:
    """Plan until enough trials wait.

    Args:
        connection: of a write transaction that has locked the search.
        search: it.
        stage: its present stage.
        wanted: trials that a worker is about to take.
        plan_ahead: trials that should wait; planning in larger batches costs less.
        now: the time.

    Returns:
        How many trials wait; fewer than wanted only at the end of the stage.
    """
    n_waiting = trials.n_in(connection, search.id, TrialState.WAITING)
    if n_waiting >= max(wanted, plan_ahead // 2):
        return n_waiting
    count = max(wanted, plan_ahead) - n_waiting
    count = count if stage.left is None else min(count, stage.left)
    return n_waiting + (_plan(connection, search, stage, count, now) if count > 0 else 0)


def _plan(connection: Connection, search: SearchRow, stage: StageRow, count: int, now: datetime) -> int:
    planner = make_planner(search.spec, StagePlan.model_validate(stage.plan))
    planned = planner.suggest(stage.n_planned, count, _history(connection, search, planner))
    trials.add(connection, search.id, planned, now)
    stages.count_planned(connection, stage, len(planned), exhausted=len(planned) < count)
    return len(planned)


def _history(connection: Connection, search: SearchRow, planner: Planner) -> list[TrialRecord]:
    """What the planner learns from; nothing is read for one that does not look."""
    return [] if isinstance(planner, IndexedPlanner) else trials.history(connection, search.id)
