"""Use case: end a stage, check its borders, and begin the next stage if there is one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from foldstep.service.contract.stage import StagePlan
from foldstep.service.db import searches, stages, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.plan import add_stage
from foldstep.service.planner.stages import end_stage


def go_on(connection: Connection, search: SearchRow, stage: StageRow, now: datetime) -> bool:
    """Close a finished stage, begin the next one, and tell whether there is one."""
    history = trials.history(connection, search.id, stage.stage)
    end = end_stage(search.spec, StagePlan.model_validate(stage.plan), history, search.direction)
    stages.record_findings(connection, stage, end.findings)
    if end.next is None:
        return False
    add_stage(connection, search.id, end.next, now)
    searches.set_stage(connection, search.id, end.next.index)
    return True
