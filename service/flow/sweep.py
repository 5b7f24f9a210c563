"""Use case: take trials back from workers that stopped reporting, and end searches whose time is up."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from foldstep.service.contract.errors import NotFound
from foldstep.service.db import leases, searches, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.check import give_up
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle
from foldstep.service.flow.prune import clean_up


def sweep(context: Context) -> int:
    """Expire leases and end searches that are due, and count the searches that were examined."""
    now = context.now()
    with context.database.read() as connection:
        due = {*leases.searches_with_expired(connection, now), *searches.ids_past_deadline(connection, now)}
    for search_id in sorted(due):
        _sweep_search(context, search_id, now)
    return len(due)


def _sweep_search(context: Context, search_id: str, now: datetime) -> None:
    try:
        with context.database.write() as connection:
            search = _expire(connection, search_id, context.settings.max_attempts, now)
    except NotFound:
        return  # deleted since it was listed
    clean_up(context, search)


def _expire(connection: Connection, search_id: str, max_attempts: int, now: datetime) -> SearchRow:
    search = searches.lock(connection, search_id)
    expired = leases.expire(connection, search_id, now)
    if expired:
        trials.expire(connection, expired, max_attempts, now)
        search = give_up(connection, search, max_attempts, now)
    return settle(connection, search, now)
