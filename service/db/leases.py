"""The rows of `leases`: fenced by a token, held until they are released or expire."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from foldstep.service.contract.errors import LeaseLost
from foldstep.service.contract.lease import Purpose
from foldstep.service.contract.states import LeaseEvent, LeaseState
from foldstep.service.db.moves import lease_move, n_moved
from foldstep.service.db.tables import leases


@dataclass(frozen=True)
class LeaseRow:
    """A lease as it is stored."""

    id: int
    token: str
    worker_id: int
    search_id: str
    state: LeaseState
    reported_at: datetime


_COLUMNS = [leases.c[n] for n in LeaseRow.__dataclass_fields__]


def lost(lease_id: int) -> LeaseLost:
    """Build the error for a worker that no longer holds the lease."""
    return LeaseLost(f"The lease {lease_id} is no longer yours; drop its trials and ask for others.")


_GRANT = insert(leases).returning(leases.c.id)
_GET = select(*_COLUMNS).where(leases.c.id == bindparam("id"))
_OURS = (leases.c.id == bindparam("b_id"), leases.c.token == bindparam("b_token"))
_RENEW = update(leases).where(*_OURS, leases.c.state == LeaseState.HELD)
_RELEASE = lease_move(LeaseEvent.RELEASE).where(*_OURS).values(ended_at=bindparam("b_now"))
_EXPIRED = (
    select(leases.c.search_id)
    .where(leases.c.state == LeaseState.HELD, leases.c.expires_at <= bindparam("now"))
    .distinct()
)


def grant(
    connection: Connection,
    *,
    token: str,
    worker_id: int,
    search_id: str,
    expires_at: datetime,
    now: datetime,
    purpose: Purpose = "train",
) -> int:
    """Insert a held lease, and return its id."""
    values = {"token": token, "worker_id": worker_id, "search_id": search_id, "expires_at": expires_at}
    values |= {"purpose": purpose, "state": LeaseState.HELD, "reported_at": now, "member_steps_per_s": 0.0}
    return int(connection.execute(_GRANT, values).scalar_one())


def get(connection: Connection, lease_id: int) -> LeaseRow:
    """Find one lease, in any state.

    Raises:
        LeaseLost: no lease has that id, since its search was deleted.
    """
    row = connection.execute(_GET, {"id": lease_id}).one_or_none()
    if row is None:
        raise lost(lease_id)
    return LeaseRow(**row._asdict())


def renew(
    connection: Connection, row: LeaseRow, token: str, *, now: datetime, expires_at: datetime, steps: int
) -> None:
    """Move the expiry of a held lease, and store its throughput.

    Args:
        connection: of a write transaction that has locked the lease's search.
        row: the lease.
        token: what the worker showed.
        now: the time of the report.
        expires_at: the new end.
        steps: member steps since the last report.

    Raises:
        LeaseLost: the lease is not held, or not under this token.
    """
    values: dict[str, object] = {"expires_at": expires_at, "reported_at": now}
    elapsed_s = (now - row.reported_at).total_seconds()
    if elapsed_s > 0:
        values["member_steps_per_s"] = steps / elapsed_s
    if not n_moved(connection, _RENEW, {"b_id": row.id, "b_token": token, **values}):
        raise lost(row.id)


def release(connection: Connection, lease_id: int, token: str, now: datetime) -> None:
    """End a held lease.

    Raises:
        LeaseLost: the lease is not held, or not under this token.
    """
    if not n_moved(connection, _RELEASE, {"b_id": lease_id, "b_token": token, "b_now": now}):
        raise lost(lease_id)


def searches_with_expired(connection: Connection, now: datetime) -> Sequence[str]:
    """List the searches with a held lease whose time is up."""
    return connection.execute(_EXPIRED, {"now": now}).scalars().all()


def expire(connection: Connection, search_id: str, now: datetime) -> Sequence[int]:
    """End every lease of a locked search whose time is up, and return their ids."""
    statement = (
        lease_move(LeaseEvent.EXPIRE)
        .where(leases.c.search_id == search_id, leases.c.expires_at <= now)
        .values(ended_at=now)
        .returning(leases.c.id)
    )
    return connection.execute(statement).scalars().all()


_N_CHECKS = select(func.count()).where(
    leases.c.search_id == bindparam("id"), leases.c.purpose == "check", leases.c.state == bindparam("state")
)


def n_checks(connection: Connection, search_id: str, state: LeaseState) -> int:
    """Count a search's leases for its checks that are in a state."""
    return connection.execute(_N_CHECKS, {"id": search_id, "state": state}).scalar_one()


def with_checks(connection: Connection, search_ids: Collection[str]) -> set[str]:
    """Find those of some searches that a worker is checking."""
    is_held = (leases.c.purpose == "check", leases.c.state == LeaseState.HELD)
    statement = select(leases.c.search_id).where(leases.c.search_id.in_(search_ids), *is_held)
    return set(connection.execute(statement).scalars())


def member_steps_per_s(connection: Connection, since: datetime) -> dict[str, float]:
    """Sum the throughput (member steps per second) of each search's held leases that reported since then."""
    statement = (
        select(leases.c.search_id, func.sum(leases.c.member_steps_per_s))
        .where(leases.c.state == LeaseState.HELD, leases.c.reported_at >= since, leases.c.member_steps_per_s > 0)
        .group_by(leases.c.search_id)
    )
    return {search: float(rate) for search, rate in connection.execute(statement)}


def n_held(connection: Connection) -> int:
    """Count the held leases."""
    return connection.execute(select(func.count()).where(leases.c.state == LeaseState.HELD)).scalar_one()


def is_token(row: LeaseRow, token: str) -> bool:
    """Tell whether `token` is the lease's, in a time that does not depend on where they differ."""
    return secrets.compare_digest(row.token.encode(), token.encode())
