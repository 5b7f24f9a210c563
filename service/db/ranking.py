"""The order of a leaderboard, a page at a time, by key: a page costs the same wherever it lies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select, tuple_

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.space import Params
from foldstep.service.contract.states import TrialState
from foldstep.service.db.tables import searches, trials

REST = (
    TrialState.RUNNING,
    TrialState.PAUSED,
    TrialState.CANCELLED,
    TrialState.PRUNED,
    TrialState.DIVERGED,
    TrialState.FAILED,
)
"""States without a rank, in the order in which they follow the ranked trials; waiting ones are not shown."""


@dataclass(frozen=True)
class TrialRow:
    """A trial as users see it."""

    search_id: str
    number: int
    stage: int
    state: TrialState
    params: Params
    continues: int | None
    score: float | None
    rank_key: float | None
    spread: float | None
    epoch: int
    epochs: int
    progress: float | None
    attempts: int
    worker_id: int | None
    message: str | None
    duration_s: float | None
    created_at: datetime
    finished_at: datetime | None


_COLUMNS = [trials.c[name] for name in TrialRow.__dataclass_fields__]
_OTHER = trials.alias()
_GROUP = case({state: i for i, state in enumerate(REST)}, value=trials.c.state)


def _rows(connection: Connection, statement: Select[Any]) -> list[TrialRow]:
    return [TrialRow(**row._asdict()) for row in connection.execute(statement)]


def _of(search_id: str, *conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*_COLUMNS).where(trials.c.search_id == search_id, *conditions)


def get(connection: Connection, search_id: str, number: int) -> TrialRow:
    """One trial.

    Raises:
        NotFound: the search has none of that number.
    """
    rows = _rows(connection, _of(search_id, trials.c.number == number))
    if not rows:
        raise NotFound(f"The search {search_id} has no trial {number}.")
    return rows[0]


def scored(connection: Connection, search_id: str, after: tuple[float, int] | None, limit: int) -> list[TrialRow]:
    """Ranked trials, the best first, ties by number, from the one after the key (rank key, number) on."""
    statement = _of(search_id, trials.c.rank_key.is_not(None))
    if after is not None:
        statement = statement.where(tuple_(trials.c.rank_key, trials.c.number) > tuple_(*after))
    return _rows(connection, statement.order_by(trials.c.rank_key, trials.c.number).limit(limit))


def unscored(connection: Connection, search_id: str, after: tuple[int, int] | None, limit: int) -> list[TrialRow]:
    """Trials without a rank in the order of `REST`, from the one after the key (group, number) on."""
    statement = _of(search_id, trials.c.rank_key.is_(None), trials.c.state.in_(REST))
    if after is not None:
        statement = statement.where(tuple_(_GROUP, trials.c.number) > tuple_(*after))
    return _rows(connection, statement.order_by(_GROUP, trials.c.number).limit(limit))


def by_number(connection: Connection, search_id: str, after: int | None, limit: int) -> list[TrialRow]:
    """Trials that were begun, by number, from the one after `after` on."""
    statement = _of(search_id, trials.c.state != TrialState.WAITING)
    if after is not None:
        statement = statement.where(trials.c.number > after)
    return _rows(connection, statement.order_by(trials.c.number).limit(limit))


def rank_of(connection: Connection, search_id: str, row: TrialRow) -> int | None:
    """The place of a trial, 1 for the best; None where it has none."""
    if row.rank_key is None:
        return None
    statement = select(func.count()).where(
        trials.c.search_id == search_id,
        tuple_(trials.c.rank_key, trials.c.number) < tuple_(row.rank_key, row.number),
    )
    return connection.execute(statement).scalar_one() + 1


def best_of(connection: Connection, search_ids: Collection[str]) -> dict[str, TrialRow]:
    """The best trial of each search that has one with a score."""
    # a look into the index for each search, in one statement: a window function would read every trial of them all
    first = (
        select(_OTHER.c.number)
        .where(_OTHER.c.search_id == searches.c.id, _OTHER.c.rank_key.is_not(None))
        .order_by(_OTHER.c.rank_key, _OTHER.c.number)
        .limit(1)
        .correlate(searches)
        .scalar_subquery()
    )
    is_first = (trials.c.search_id == searches.c.id) & (trials.c.number == first)
    statement = select(*_COLUMNS).select_from(searches.join(trials, is_first)).where(searches.c.id.in_(search_ids))
    return {row.search_id: row for row in _rows(connection, statement)}
