"""Pages of a leaderboard, found by key (keyset pagination): a late page costs no more than the first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select, true, tuple_

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.space import Params
from foldstep.service.contract.states import TrialState
from foldstep.service.db import counts
from foldstep.service.db.tables import IS_RANKED, searches, trials

REST = (
    TrialState.RUNNING,
    TrialState.PAUSED,
    TrialState.CANCELLED,
    TrialState.PRUNED,
    TrialState.UNDEFINED,
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


def _rows(connection: Connection, statement: Select[Any]) -> list[TrialRow]:
    return [TrialRow(**row._asdict()) for row in connection.execute(statement)]


def _of(search_id: str, *conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*_COLUMNS).where(trials.c.search_id == search_id, *conditions)


def get(connection: Connection, search_id: str, number: int) -> TrialRow:
    """Find one trial.

    Raises:
        NotFound: the search has no trial of that number.
    """
    rows = _rows(connection, _of(search_id, trials.c.number == number))
    if not rows:
        raise NotFound(f"The search {search_id} has no trial {number}.")
    return rows[0]


def scored(connection: Connection, search_id: str, after: tuple[float, int] | None, limit: int) -> list[TrialRow]:
    """List ranked trials after the key (rank key, number), the best first, ties by number."""
    statement = _of(search_id, trials.c.rank_key.is_not(None))
    if after is not None:
        statement = statement.where(tuple_(trials.c.rank_key, trials.c.number) > tuple_(*after))
    return _rows(connection, statement.order_by(trials.c.rank_key, trials.c.number).limit(limit))


def unscored(connection: Connection, search_id: str, after: tuple[int, int] | None, limit: int) -> list[TrialRow]:
    """List trials without a rank after the key (group, number), in the order of `REST`."""
    group, number = (0, -1) if after is None else after
    there = counts.by_state(connection, search_id)
    found: list[TrialRow] = []
    for state in REST[group:]:
        if state in there and len(found) < limit:
            last = number if state is REST[group] else -1
            own = _of(search_id, trials.c.state == state, trials.c.rank_key.is_(None), trials.c.number > last)
            found += _rows(connection, own.order_by(trials.c.number).limit(limit - len(found)))
    return found


def by_number(connection: Connection, search_id: str, after: int | None, limit: int) -> list[TrialRow]:
    """List the trials that are not waiting, by number, after the number `after`."""
    statement = _of(search_id, trials.c.state != TrialState.WAITING)
    if after is not None:
        statement = statement.where(trials.c.number > after)
    return _rows(connection, statement.order_by(trials.c.number).limit(limit))


def rank_of(connection: Connection, search_id: str, row: TrialRow) -> int | None:
    """Compute the rank of a trial, 1 for the best; None if it has none."""
    return ranks_of(connection, search_id, [row])[0]


def ranks_of(connection: Connection, search_id: str, rows: Sequence[TrialRow]) -> list[int | None]:
    """Compute the ranks of some trials, 1 for the best; None for those that have none.

    However many they are, each trial that ranks before one of them is counted once, in the index of the ranking.
    """
    keys = sorted((row.rank_key, row.number) for row in rows if row.rank_key is not None)
    place = tuple_(trials.c.rank_key, trials.c.number)
    found: dict[int, int] = {}
    n_before = 0
    counted: ColumnElement[bool] = true()
    for rank_key, number in keys:
        is_between = (trials.c.search_id == search_id, place < tuple_(rank_key, number), counted)
        n_before += connection.execute(_N_RANKED.where(*is_between)).scalar_one()
        found[number] = n_before + 1
        counted = place >= tuple_(rank_key, number)
    return [found.get(row.number) for row in rows]


def n_ranked(connection: Connection, search_id: str) -> int:
    """Count the ranked trials of a search."""
    return connection.execute(_N_RANKED.where(trials.c.search_id == search_id)).scalar_one()


_N_RANKED = select(func.count()).where(IS_RANKED)


def best_of(connection: Connection, search_ids: Collection[str]) -> dict[str, TrialRow]:
    """Find the best trial of each search that has a ranked one."""
    # one index look-up for each search, in one statement: a window function would read all trials of all searches
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
