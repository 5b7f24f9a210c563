"""Use case: take trials back from workers that stopped reporting, and end searches whose time is up."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from foldstep.service.contract.death import WorkerDeath
from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.logs import say
from foldstep.service.db import counts, leases, searches
from foldstep.service.db.leases import HeldLease
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.blame import end_lease
from foldstep.service.flow.check import give_up
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle
from foldstep.service.flow.prune import clean_up

_log = logging.getLogger(__name__)


def sweep(context: Context) -> int:
    """Expire leases and end searches that are due, and count the searches that were examined."""
    now = context.now()
    if not context.database.is_sqlite:
        with context.database.write() as connection:
            counts.fold(connection)
    with context.database.read() as connection:
        held = leases.held(connection)
        past_deadline = searches.ids_past_deadline(connection, now)
    overdue = context.watch.overdue(held, context.settings.lease_ttl_s)
    due = {*(lease.search_id for lease in overdue), *past_deadline}
    for search_id in sorted(due):
        end_leases(context, search_id, [lease for lease in overdue if lease.search_id == search_id], None, now)
    return len(due)


def sweep_if_due(context: Context) -> None:
    """Sweep, unless that was done a moment ago."""
    if context.watch.is_due(context.settings.sweep_interval_s):
        sweep(context)


def end_leases(
    context: Context, search_id: str, held: Sequence[HeldLease], death: WorkerDeath | None, now: datetime
) -> None:
    """End leases of a search whose workers are gone, and the search, if that is due."""
    try:
        with context.database.write() as connection:
            search, ended = _end(connection, context, search_id, held, death, now)
    except NotFound:
        return  # deleted since it was listed
    for lease in ended:
        _note(context, lease, death)
    clean_up(context, search)


def _end(
    connection: Connection,
    context: Context,
    search_id: str,
    held: Sequence[HeldLease],
    death: WorkerDeath | None,
    now: datetime,
) -> tuple[SearchRow, list[HeldLease]]:
    search = searches.lock(connection, search_id)
    max_attempts = context.settings.max_attempts
    ended = [lease for lease in held if end_lease(connection, lease, death, max_attempts=max_attempts, now=now)]
    if ended:
        search = give_up(connection, search, max_attempts, now)
    return settle(connection, search, now), ended


def _note(context: Context, lease: HeldLease, death: WorkerDeath | None) -> None:
    context.measures.leases.labels("expired").inc()
    reason = "its worker no longer reports" if death is None else str(death)
    say(_log, logging.WARNING, f"lease ended, {reason}", lease=lease.id, search=lease.search_id)
