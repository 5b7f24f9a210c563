"""Use case: a worker ends a lease, because its trials are done, or to give back those that are not."""

from __future__ import annotations

from foldstep.service.contract.report import LeaseEnd
from foldstep.service.contract.states import LeaseState
from foldstep.service.db import leases, trials
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import settle
from foldstep.service.flow.prune import clean_up
from foldstep.service.flow.report import lock_lease


def release(context: Context, lease_id: int, token: str, sent: LeaseEnd) -> None:
    """End a lease; unfinished trials return to waiting, with their snapshots, and the attempt does not count.

    The same again changes nothing.

    Raises:
        LeaseLost: the lease is not held, or not under this token.
    """
    now = context.now()
    with context.database.write() as connection:
        lease, search = lock_lease(connection, lease_id)
        if lease.state is LeaseState.RELEASED and leases.is_token(lease, token):
            return  # a repeated call, whose first answer was lost
        leases.release(connection, lease_id, token, now)
        folder = files.snapshot_folder(context.settings, search.id)
        trials.give_back(connection, lease_id, files.stored_snapshots(folder, lease_id, sent.snapshots))
        search = settle(connection, search, now)
    clean_up(context, search)
