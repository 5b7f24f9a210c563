"""Use case: the parent of a worker process tells that it is dead; its trials wait again at once."""

from __future__ import annotations

import logging

from foldstep.service.contract.death import WorkerDeath
from foldstep.service.contract.logs import say
from foldstep.service.db import leases, workers
from foldstep.service.flow.context import Context
from foldstep.service.flow.sweep import end_leases

_log = logging.getLogger(__name__)


def worker_died(context: Context, worker: int | str, death: WorkerDeath) -> None:
    """End the leases of a dead worker. The same again changes nothing.

    Args:
        context: of the master.
        worker: its id, or the key that it registered with.
        death: what its parent saw of it.

    Raises:
        NotFound: no such worker has registered.
    """
    now = context.now()
    with context.database.write() as connection:
        worker_id = workers.died(connection, worker, now)
        held = leases.held_by(connection, worker_id)
    say(_log, logging.WARNING, f"worker is dead: {death}", worker=worker_id)
    for search_id in sorted({lease.search_id for lease in held}):
        end_leases(context, search_id, [lease for lease in held if lease.search_id == search_id], death, now)
