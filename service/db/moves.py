"""State changes as compare-and-set: the source states come from the transition tables and from nowhere else."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, Update, or_, update

from foldstep.service.contract.states import (
    LEASE_TRANSITIONS,
    SEARCH_TRANSITIONS,
    TRIAL_TRANSITIONS,
    LeaseEvent,
    S,
    SearchEvent,
    TrialEvent,
)
from foldstep.service.db.tables import leases, searches, trials


def search_move(event: SearchEvent) -> Update:
    """Build `UPDATE searches SET state = target WHERE state IN (sources)`, to be narrowed further."""
    sources, target = SEARCH_TRANSITIONS[event]
    return _move(searches, sources, target)


def trial_move(event: TrialEvent) -> Update:
    """Build `UPDATE trials SET state = target WHERE state IN (sources)`, to be narrowed further."""
    sources, target = TRIAL_TRANSITIONS[event]
    return _move(trials, sources, target)


def lease_move(event: LeaseEvent) -> Update:
    """Build `UPDATE leases SET state = target WHERE state IN (sources)`, to be narrowed further."""
    sources, target = LEASE_TRANSITIONS[event]
    return _move(leases, sources, target)


def n_moved(connection: Connection, statement: Update, parameters: Any = None) -> int:
    """Run the statement, and count the rows that it changed."""
    return connection.execute(statement, parameters).rowcount


def _move(table: Table, sources: frozenset[S], target: S) -> Update:
    # not `IN`, which SQLAlchemy does not allow in a statement that runs for many rows at once
    in_sources = or_(*(table.c.state == source for source in sorted(sources)))
    return update(table).where(in_sources).values(state=target)
