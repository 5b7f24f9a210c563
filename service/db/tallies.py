"""Counts of trials for the progress of searches.

Searches are watched several times a second, so the trials that have ended are read from `counts`; everything else is
read of the open trials alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from foldstep.service.contract.states import TERMINAL_TRIAL, TrialState
from foldstep.service.db import counts
from foldstep.service.db.tables import trials

ENDED = TERMINAL_TRIAL - {TrialState.CANCELLED}
"""States of the trials that ended by themselves, not with their search."""


@dataclass(frozen=True)
class Tally:
    """The trials of one stage that are in one state.

    Attributes:
        n: their number.
        epochs: their epochs, summed.
        trained: the epochs that they have trained, summed.
    """

    stage: int
    state: TrialState
    n: int
    epochs: int
    trained: int


_OPEN = tuple(sorted(set(TrialState) - TERMINAL_TRIAL))


def still_open(search_ids: Collection[str]) -> Select[Any]:
    """Build the statement that counts the open trials of some searches by stage and state."""
    groups = (trials.c.search_id, trials.c.stage, trials.c.state)
    return (
        select(*groups, func.count(), func.sum(trials.c.epochs), func.sum(trials.c.epoch))
        .where(trials.c.search_id.in_(search_ids), trials.c.state.in_(_OPEN))
        .group_by(*groups)
    )


def of_searches(connection: Connection, search_ids: Collection[str]) -> dict[str, list[Tally]]:
    """Count the trials of some searches by stage and state, by search."""
    counted = list(counts.by_stage(connection, search_ids))
    ended = [row for row in counted if row[2] in TERMINAL_TRIAL]
    with_open = {search_id for search_id, _, state, *_ in counted if state not in TERMINAL_TRIAL}
    live = connection.execute(still_open(with_open)).all() if with_open else []
    found: dict[str, list[Tally]] = {search_id: [] for search_id in search_ids}
    for search_id, stage, state, n, epochs, trained in sorted([*ended, *map(tuple, live)]):
        found[search_id].append(Tally(stage, state, n, int(epochs), int(trained)))
    return found


@dataclass(frozen=True)
class Running:
    """A trial in training, with the mean over its folds of the best score so far."""

    search_id: str
    number: int
    progress: float


_IS_RUNNING = trials.c.state == TrialState.RUNNING


def extremes(connection: Connection, search_ids: Collection[str]) -> list[Running]:
    """Find, for each of some searches, the trials in training with the highest and with the lowest score so far."""
    own = (trials.c.search_id.in_(search_ids), _IS_RUNNING, trials.c.progress.is_not(None))
    columns = [trials.c[name] for name in Running.__dataclass_fields__]
    places = [
        func.row_number().over(partition_by=trials.c.search_id, order_by=(order, trials.c.number)).label(name)
        for name, order in (("lowest", trials.c.progress), ("highest", trials.c.progress.desc()))
    ]
    ranked = select(*columns, *places).where(*own).subquery()
    is_extreme = (ranked.c.lowest == 1) | (ranked.c.highest == 1)
    statement = select(*(ranked.c[column.name] for column in columns)).where(is_extreme)
    return [Running(*row) for row in connection.execute(statement)]


def n_at_first_rung(connection: Connection, search_ids: Collection[str]) -> dict[str, int]:
    """Count the trials in training that have not reached their first rung, by search."""
    statement = (
        select(trials.c.search_id, func.count())
        .where(trials.c.search_id.in_(search_ids), _IS_RUNNING, trials.c.rungs.is_(None))
        .group_by(trials.c.search_id)
    )
    return dict(connection.execute(statement).all())
