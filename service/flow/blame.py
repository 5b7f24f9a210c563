"""Use case: end the lease of a worker that is gone; its trials wait again, in smaller and smaller leases.

Which of several trials ended the worker cannot be known, so none is blamed: at most half of them share the next lease,
and so on until the suspect is alone. Only a trial that was alone is blamed. Where the process may have been killed from
outside that weighs little, and a trial that got further than the last time begins anew.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from foldstep.service.contract.death import WorkerDeath
from foldstep.service.db import leases, suspects
from foldstep.service.db.leases import HeldLease
from foldstep.service.db.suspects import Suspect

FROM_OUTSIDE, EVIDENT = 1, 4
"""Weights of a death that may have come from outside, and of one that the work itself must have caused."""
SILENCE = "its worker stopped reporting"


def end_lease(
    connection: Connection, lease: HeldLease, death: WorkerDeath | None, *, max_attempts: int, now: datetime
) -> bool:
    """End a lease of a locked search without its worker, unless that has renewed it since; tell whether it ended.

    Args:
        connection: of a write transaction that has locked the lease's search.
        lease: as it was last seen.
        death: what is known of the worker's end; None where it only stopped reporting.
        max_attempts: how many evident deaths a trial that was alone may cause.
        now: the time.
    """
    weight = EVIDENT if death is not None and death.is_evident else FROM_OUTSIDE
    seen = SILENCE if death is None else str(death)
    if not leases.expire(connection, lease, blame=weight, death=seen, now=now):
        return False
    running = suspects.running_under(connection, lease.id)
    if len(running) == 1:
        _blame(connection, lease.id, running[0], weight, seen, limit=blame_limit(max_attempts), now=now)
    else:
        suspects.expire(connection, lease.id, cap=(len(running) + 1) // 2)
    return True


def blame_limit(max_attempts: int) -> int:
    """Compute the weight of deaths at which a trial is given up."""
    return EVIDENT * max_attempts


def _blame(
    connection: Connection, lease_id: int, trial: Suspect, weight: int, seen: str, *, limit: int, now: datetime
) -> None:
    """Blame the only trial of a lease, and give it up once the deaths weigh too much."""
    total = weight if trial.epoch > trial.blamed_at_epoch else trial.blame + weight
    epoch = max(trial.epoch, trial.blamed_at_epoch)
    if total < limit:
        suspects.blame(connection, lease_id, total, epoch)
        return
    message = f"given up: each time that it trained alone it got no further than epoch {epoch}; the last time {seen}"
    suspects.give_up(connection, lease_id, total, message, now)
