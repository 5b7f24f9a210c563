"""The rows of `trials` that nobody has begun: before them others may be put."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, func, not_, select, update

from foldstep.service.contract.trial import PlannedTrial
from foldstep.service.db.tables import IS_WAITING, trials
from foldstep.service.db.trials import PLANNED, planned_rows

_IS_UNTOUCHED = and_(IS_WAITING, trials.c.attempts == 0, trials.c.rungs.is_(None), trials.c.resume.is_(None))
_NUMBERS = select(trials.c.number).where(trials.c.search_id == bindparam("id"), trials.c.stage == bindparam("number"))
_LAST_TOUCHED = select(func.max(trials.c.number)).where(
    trials.c.search_id == bindparam("id"), trials.c.stage == bindparam("number"), not_(_IS_UNTOUCHED)
)
_ROW = (trials.c.search_id == bindparam("b_search"), trials.c.number == bindparam("b_number"))
_REPLACE = update(trials).where(*_ROW).values({name: bindparam(f"b_{name}") for name in PLANNED if name != "number"})


def first_untouched(connection: Connection, search_id: str, stage: int) -> int | None:
    """Find the first of the last trials of a stage that nobody has begun; None if there are none.

    Until the transaction ends, nobody takes any of them.
    """
    values = {"id": search_id, "number": stage}
    waiting = connection.execute(_NUMBERS.where(_IS_UNTOUCHED).with_for_update(), values).scalars().all()
    last = connection.execute(_LAST_TOUCHED, values).scalar_one()
    return min((number for number in waiting if last is None or number > last), default=None)


def replace(connection: Connection, search_id: str, planned: Sequence[PlannedTrial]) -> None:
    """Let trials that nobody has begun be others, under their numbers."""
    if planned:
        rows = planned_rows(connection, search_id, planned)
        connection.execute(_REPLACE, [{"b_search": search_id, **{f"b_{k}": v for k, v in row.items()}} for row in rows])
