"""Trials whose worker died: they wait again under suspicion, and only one that was alone is blamed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from foldstep.service.contract.states import TrialEvent, TrialState
from foldstep.service.db.moves import n_moved, trial_move
from foldstep.service.db.tables import trials


@dataclass(frozen=True)
class Suspect:
    """A trial that was in training when its worker died.

    Attributes:
        blame: what the deaths of workers that trained it alone weigh, since it last got further.
        blamed_at_epoch: the epoch that it had reached then.
    """

    number: int
    epoch: int
    blame: int
    blamed_at_epoch: int


_IS_RUNNING = (trials.c.lease_id == bindparam("b_lease"), trials.c.state == TrialState.RUNNING)
_SUSPECTS = select(*(trials.c[name] for name in Suspect.__dataclass_fields__)).where(*_IS_RUNNING)
_EXPIRE = (
    trial_move(TrialEvent.EXPIRE)
    .where(trials.c.lease_id == bindparam("b_lease"))
    .values(lease_id=None, worker_id=None, progress=None)
    .values(lease_cap=bindparam("b_cap"), lost_lease_id=bindparam("b_lease"))
)
_BLAME = _EXPIRE.values(blame=bindparam("b_blame"), blamed_at_epoch=bindparam("b_epoch"))
_GIVE_UP = (
    trial_move(TrialEvent.GIVE_UP)
    .where(trials.c.lease_id == bindparam("b_lease"))
    .values(progress=None, finished_at=bindparam("b_now"), message=bindparam("b_message"), lease_cap=None)
    .values(blame=bindparam("b_blame"))
)
_REGAIN = (
    trial_move(TrialEvent.REGAIN)
    .where(trials.c.search_id == bindparam("b_search"), trials.c.lost_lease_id == bindparam("b_lease"))
    .values(lease_id=bindparam("b_lease"), worker_id=bindparam("b_worker"))
    .values(lost_lease_id=None, lease_cap=None, blame=0, blamed_at_epoch=0)
)
_LOST = select(func.count()).where(
    trials.c.search_id == bindparam("search"), trials.c.lost_lease_id == bindparam("lease")
)


def running_under(connection: Connection, lease_id: int) -> list[Suspect]:
    """List the trials that a lease has in training."""
    return [Suspect(*row) for row in connection.execute(_SUSPECTS, {"b_lease": lease_id})]


def expire(connection: Connection, lease_id: int, cap: int) -> None:
    """Return the running trials of a lease to waiting; at most `cap` of them may share the next one."""
    connection.execute(_EXPIRE, {"b_lease": lease_id, "b_cap": cap})


def blame(connection: Connection, lease_id: int, total: int, epoch: int) -> None:
    """Return the only running trial of a lease to waiting, to be alone again.

    Args:
        connection: of a write transaction that has locked the lease's search.
        lease_id: the lease.
        total: what the deaths so far weigh.
        epoch: the furthest that it got.
    """
    connection.execute(_BLAME, {"b_lease": lease_id, "b_cap": 1, "b_blame": total, "b_epoch": epoch})


def give_up(connection: Connection, lease_id: int, total: int, message: str, now: datetime) -> None:
    """End the only running trial of a lease as failed."""
    values = {"b_lease": lease_id, "b_blame": total, "b_message": message, "b_now": now}
    connection.execute(_GIVE_UP, values)


def n_lost(connection: Connection, search_id: str, lease_id: int) -> int:
    """Count the trials that wait since a lease expired, and that no other has taken."""
    return connection.execute(_LOST, {"search": search_id, "lease": lease_id}).scalar_one()


def numbers_lost(connection: Connection, search_id: str) -> set[int]:
    """Find the trials of a search that wait since their leases expired: their workers may still report."""
    statement = select(trials.c.number).where(trials.c.search_id == search_id, trials.c.lost_lease_id.is_not(None))
    return set(connection.execute(statement).scalars())


def regain(connection: Connection, search_id: str, lease_id: int, worker_id: int) -> int:
    """Return to an expired lease those of its trials that no other has taken, and count them."""
    return n_moved(connection, _REGAIN, {"b_search": search_id, "b_lease": lease_id, "b_worker": worker_id})
