"""The rows of `paces`: how fast each search trains, over its last reports."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import paces

FADING_S = 20.0
"""Time in which a report's weight fades to 1/e, in seconds."""


@dataclass(frozen=True)
class Pace:
    """Sums over the last reports of a search's workers, each weighted by its age.

    Attributes:
        member_steps: steps times members.
        epochs: epochs of trials.
        seconds: time that these took.
        reported_at: when the last report came.
    """

    search_id: str
    member_steps: float
    epochs: float
    seconds: float
    reported_at: datetime

    @property
    def member_steps_per_s(self) -> float | None:
        """Steps times members a second; None before any time was measured."""
        return self.member_steps / self.seconds if self.seconds > 0 else None

    @property
    def epochs_per_s(self) -> float | None:
        """Epochs of trials a second; None before any time was measured."""
        return self.epochs / self.seconds if self.seconds > 0 else None

    def with_report(self, *, member_steps: int, epochs: int, since: datetime, now: datetime) -> Pace:
        """Add a report; the time from the last report to it counts, as far as its lease was held by then.

        Reports of several workers alternate, so that each counts the time since the one before. While no lease is held,
        as in a pause, no time counts.
        """
        elapsed_s = max((now - max(self.reported_at, since)).total_seconds(), 0.0)
        weight = math.exp(-elapsed_s / FADING_S)
        return Pace(
            search_id=self.search_id,
            member_steps=weight * self.member_steps + member_steps,
            epochs=weight * self.epochs + epochs,
            seconds=weight * self.seconds + elapsed_s,
            reported_at=max(now, self.reported_at),
        )


_COLUMNS = [paces.c[name] for name in Pace.__dataclass_fields__]
_OF_SEARCH = select(*_COLUMNS).where(paces.c.search_id == bindparam("id"))
_GET = Prepared(_OF_SEARCH.with_for_update(skip_locked=True), ("id",))
_ALL = tuple(Pace.__dataclass_fields__)
_ADD = {
    "sqlite": Prepared(sqlite.insert(paces).on_conflict_do_nothing(), columns=_ALL),
    "postgresql": Prepared(postgresql.insert(paces).on_conflict_do_nothing(), columns=_ALL),
}
_SUMS = tuple(name for name in Pace.__dataclass_fields__ if name != "search_id")
_SET = Prepared(update(paces).where(paces.c.search_id == bindparam("b_id")), ("b_id",), _SUMS)


def record(
    connection: Connection, search_id: str, *, member_steps: int, epochs: int, since: datetime, now: datetime
) -> bool:
    """Add a report to the pace of a search, unless another transaction writes it just now; tell whether it was added.

    Args:
        connection: of a write transaction.
        search_id: the search.
        member_steps: steps times members since the last report under this lease.
        epochs: epochs of trials since then.
        since: when the lease was granted, or last reported on.
        now: the time of the report.
    """
    row = _GET.first(connection, {"id": search_id})
    before = Pace(search_id, 0.0, 0.0, 0.0, since) if row is None else Pace(*row)
    values = vars(before.with_report(member_steps=member_steps, epochs=epochs, since=since, now=now))
    if row is None:
        return _ADD[connection.dialect.name].change(connection, values) == 1
    return _SET.change(connection, {"b_id": search_id, **{name: values[name] for name in _SUMS}}) == 1


def of_searches(connection: Connection, search_ids: Collection[str]) -> dict[str, Pace]:
    """Read the paces of some searches, by search; those without a report are absent."""
    statement = select(*_COLUMNS).where(paces.c.search_id.in_(search_ids))
    return {row.search_id: Pace(**row._asdict()) for row in connection.execute(statement)}
