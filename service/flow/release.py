"""Use case: a worker ends a lease, because its trials are done, or to give back those that are not."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sqlalchemy import Connection

from foldstep.service.contract.logs import say
from foldstep.service.contract.report import LeaseEnd
from foldstep.service.db import leases, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle
from foldstep.service.flow.hold import is_released, lock_lease, regain
from foldstep.service.flow.prune import clean_up

_log = logging.getLogger(__name__)


def release(context: Context, lease_id: int, token: str, sent: LeaseEnd) -> None:
    """End a lease; unfinished trials return to waiting, with their snapshots, and the attempt does not count.

    The same again changes nothing.

    Raises:
        LeaseLost: the lease is not held, or not under this token.
    """
    now = context.now()
    with context.database.write() as connection:
        _, search = lock_lease(connection, lease_id)
        if not release_held(connection, context, search, lease_id, token, sent):
            if is_released(connection, lease_id, token):
                return  # a repeated call, whose first answer was lost
            regain(connection, search, lease_id, token, context.lease_end(now))
            release_held(connection, context, search, lease_id, token, sent)
        search = settle(connection, search, now)
    clean_up(context, search)


def release_held(
    connection: Connection, context: Context, search: SearchRow, lease_id: int, token: str, sent: LeaseEnd
) -> bool:
    """End a lease, and give its unfinished trials back; tell whether it was held."""
    if not leases.release(connection, lease_id, token, context.now()):
        return False
    trials.give_back(connection, lease_id, _stored(context, search, lease_id, sent))
    context.measures.leases.labels("released").inc()
    say(_log, logging.INFO, "lease released", lease=lease_id, search=search.id)
    return True


def _stored(context: Context, search: SearchRow, lease_id: int, sent: LeaseEnd) -> Mapping[int, str]:
    if not sent.snapshots:
        return {}
    return files.stored_snapshots(files.snapshot_folder(context.settings, search.id), lease_id, sent.snapshots)
