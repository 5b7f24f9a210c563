"""The rows of `stages`: one for every stage that a search has reached."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from foldstep.service.contract.leaderboard import BorderFinding
from foldstep.service.db.moves import n_moved
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import stages


@dataclass(frozen=True)
class StageRow:
    """A stage as it is stored.

    Attributes:
        plan: the planner's record of the stage, a `StagePlan` as JSON.
        n_trials: how many trials it asks for; None for no limit.
        n_planned: how many trials have been planned so far.
    """

    search_id: str
    stage: int
    plan: dict[str, Any]
    n_trials: int | None
    n_planned: int
    findings: list[BorderFinding]

    @property
    def left(self) -> int | None:
        """How many are still to be planned; None for no limit."""
        return None if self.n_trials is None else self.n_trials - self.n_planned


_COLUMNS = [c for c in stages.c if c.name != "created_at"]
_NAMES = [column.name for column in _COLUMNS]


def _row(values: dict[str, Any]) -> StageRow:
    findings = [BorderFinding.model_validate(f) for f in values["findings"]]
    return StageRow(**{**values, "findings": findings})


def add(connection: Connection, search_id: str, stage: int, plan: Any, n_trials: int | None, now: datetime) -> None:
    """Insert a stage without planned trials."""
    values = {"search_id": search_id, "stage": stage, "plan": plan, "n_trials": n_trials}
    connection.execute(insert(stages), {**values, "n_planned": 0, "findings": [], "created_at": now})


_OF_STAGE = (stages.c.search_id == bindparam("id"), stages.c.stage == bindparam("number"))
_GET = Prepared(select(*_COLUMNS).where(*_OF_STAGE), ("id", "number"))


def get(connection: Connection, search_id: str, stage: int) -> StageRow:
    """Find one stage; it must exist."""
    (row,) = _GET.rows(connection, {"id": search_id, "number": stage})
    return _row(dict(zip(_NAMES, row, strict=True)))


def of_searches(connection: Connection, search_ids: Collection[str]) -> dict[str, list[StageRow]]:
    """Read all stages of some searches, in their order, by search."""
    found: dict[str, list[StageRow]] = {search_id: [] for search_id in search_ids}
    statement = select(*_COLUMNS).where(stages.c.search_id.in_(search_ids)).order_by(stages.c.search_id, stages.c.stage)
    for row in connection.execute(statement):
        found[row.search_id].append(_row(row._asdict()))
    return found


def count_planned(connection: Connection, row: StageRow, n: int, *, exhausted: bool) -> bool:
    """Count `n` more planned trials; an exhausted stage gets no more than were planned.

    Returns:
        Whether the stage still stood as in `row`; where others have planned since, nothing changes.
    """
    planned = row.n_planned + n
    values = {"n_planned": planned, **({"n_trials": planned} if exhausted else {})}
    where = (stages.c.search_id == row.search_id, stages.c.stage == row.stage, stages.c.n_planned == row.n_planned)
    return n_moved(connection, update(stages).where(*where).values(values)) == 1


def enlarge(connection: Connection, row: StageRow, plan: Any, n_trials: int) -> None:
    """Store a larger number of trials for a stage, and the plan that has it."""
    where = (stages.c.search_id == row.search_id, stages.c.stage == row.stage)
    connection.execute(update(stages).where(*where).values(plan=plan, n_trials=n_trials))


def set_plan(connection: Connection, row: StageRow, plan: Any) -> None:
    """Store another plan of a stage with as many trials."""
    where = (stages.c.search_id == row.search_id, stages.c.stage == row.stage)
    connection.execute(update(stages).where(*where).values(plan=plan))


def record_findings(connection: Connection, row: StageRow, findings: Sequence[BorderFinding]) -> None:
    """Store what the border check found at the end of a stage."""
    where = (stages.c.search_id == row.search_id, stages.c.stage == row.stage)
    connection.execute(update(stages).where(*where).values(findings=[f.model_dump() for f in findings]))
