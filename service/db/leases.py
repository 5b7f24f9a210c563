"""The rows of `leases`: fenced by a token, held until they are released or their worker is given up."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from foldstep.service.contract.errors import LeaseLost
from foldstep.service.contract.lease import LeaseRequest, Purpose
from foldstep.service.contract.states import LeaseEvent, LeaseState
from foldstep.service.db.moves import lease_move, n_moved
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import leases


@dataclass(frozen=True)
class LeaseRow:
    """A lease as it is stored.

    Attributes:
        token: the SHA-256 of its token.
        renewals: how often it was renewed.
    """

    id: int
    token: str
    worker_id: int
    search_id: str
    state: LeaseState
    purpose: Purpose
    reported_at: datetime
    renewals: int


class HeldLease(NamedTuple):
    """A held lease, as a master that looks for dead workers sees it."""

    id: int
    search_id: str
    renewals: int


class KeyTaken(Exception):
    """Another request with the same key was given a lease in the meantime."""


_COLUMNS = [leases.c[n] for n in LeaseRow.__dataclass_fields__]


def hashed(secret: str) -> str:
    """Compute the form in which tokens and keys are stored: nobody who reads the database can act for a worker."""
    return hashlib.sha256(secret.encode()).hexdigest()


def lost(lease_id: int) -> LeaseLost:
    """Build the error for a worker that no longer holds the lease."""
    return LeaseLost(f"The lease {lease_id} is no longer yours; drop its trials and ask for others.")


_GRANTED = ("token", "worker_id", "search_id", "purpose", "state", "reported_at", "member_steps_per_s", "expires_at")
_GRANT = Prepared(insert(leases).returning(leases.c.id), columns=(*_GRANTED, "request_key"))
_GET = Prepared(select(*_COLUMNS).where(leases.c.id == bindparam("id")), given=("id",))
_BY_KEY = Prepared(select(*_COLUMNS).where(leases.c.request_key == bindparam("key")), ("key",))
_OURS = (leases.c.id == bindparam("b_id"), leases.c.token == bindparam("b_token"))
_RENEWED = (
    update(leases)
    .where(*_OURS, leases.c.state == LeaseState.HELD)
    .values(renewals=leases.c.renewals + 1)
    .returning(leases.c.renewals)
)
_RENEW = Prepared(_RENEWED, ("b_id", "b_token"), ("expires_at", "reported_at"))
_RENEW_WITH_RATE = Prepared(_RENEWED, ("b_id", "b_token"), ("expires_at", "reported_at", "member_steps_per_s"))
_RELEASED = lease_move(LeaseEvent.RELEASE).where(*_OURS).values(ended_at=bindparam("b_now"))
_RELEASE = Prepared(_RELEASED, ("b_id", "b_token", "b_now"))
_HELD = select(leases.c.id, leases.c.search_id, leases.c.renewals).where(leases.c.state == LeaseState.HELD)
_HELD_BY = select(leases.c.id, leases.c.search_id, leases.c.renewals).where(
    leases.c.worker_id == bindparam("worker"), leases.c.state == LeaseState.HELD
)
_EXPIRE = (
    lease_move(LeaseEvent.EXPIRE)
    .where(leases.c.id == bindparam("b_id"), leases.c.renewals == bindparam("b_renewals"))
    .values(ended_at=bindparam("b_now"), blame=bindparam("b_blame"), death=bindparam("b_death"))
)
_REGAIN = (
    lease_move(LeaseEvent.REGAIN)
    .where(*_OURS)
    .values(ended_at=None, blame=0, death=None, renewals=leases.c.renewals + 1, expires_at=bindparam("b_expires_at"))
    .returning(leases.c.renewals)
)


def grant(
    connection: Connection,
    request: LeaseRequest,
    *,
    token: str,
    search_id: str,
    expires_at: datetime,
    now: datetime,
    purpose: Purpose = "train",
) -> int:
    """Insert a held lease that answers a request, and return its id.

    Raises:
        KeyTaken: another lease answered a request with this key.
    """
    key = request.key
    values: dict[str, Any] = {"token": hashed(token), "worker_id": request.worker, "search_id": search_id}
    values |= {"purpose": purpose, "state": LeaseState.HELD, "reported_at": now, "member_steps_per_s": 0.0}
    values |= {"expires_at": expires_at, "request_key": None if key is None else hashed(key)}
    try:
        return int(_GRANT.rows(connection, values)[0][0])
    except IntegrityError as error:
        if key is not None and "request_key" in str(error.orig):
            raise KeyTaken from None
        raise


def get(connection: Connection, lease_id: int) -> LeaseRow:
    """Find one lease, in any state.

    Raises:
        LeaseLost: no lease has that id, since its search was deleted.
    """
    row = _GET.first(connection, {"id": lease_id})
    if row is None:
        raise lost(lease_id)
    return LeaseRow(*row)


def by_key(connection: Connection, key: str) -> LeaseRow | None:
    """Find the lease that answered the request with a key; None if none did."""
    row = _BY_KEY.first(connection, {"key": hashed(key)})
    return None if row is None else LeaseRow(*row)


def forget_key(connection: Connection, lease_id: int) -> None:
    """Let the key of a lease that is lost stand for another lease."""
    connection.execute(update(leases).where(leases.c.id == lease_id).values(request_key=None))


def renew(
    connection: Connection, row: LeaseRow, token: str, *, now: datetime, expires_at: datetime, steps: int
) -> int | None:
    """Count a renewal of a held lease, and store its throughput.

    Args:
        connection: of a write transaction that has locked the lease's search.
        row: the lease.
        token: what the worker showed.
        now: the time of the report.
        expires_at: the new end.
        steps: member steps since the last report.

    Returns:
        How often it was renewed; None where the lease is not held, or not under this token.
    """
    values: dict[str, object] = {"b_id": row.id, "b_token": hashed(token), "expires_at": expires_at, "reported_at": now}
    elapsed_s = (now - row.reported_at).total_seconds()
    if elapsed_s > 0:
        found = _RENEW_WITH_RATE.first(connection, {**values, "member_steps_per_s": steps / elapsed_s})
    else:
        found = _RENEW.first(connection, values)
    return None if found is None else int(found[0])


def regain(connection: Connection, lease_id: int, token: str, expires_at: datetime) -> int:
    """Let an expired lease be held again, and return how often it was renewed.

    Raises:
        LeaseLost: it is not expired, or not under this token.
    """
    values = {"b_id": lease_id, "b_token": hashed(token), "b_expires_at": expires_at}
    renewals = connection.execute(_REGAIN, values).scalar_one_or_none()
    if renewals is None:
        raise lost(lease_id)
    return int(renewals)


def release(connection: Connection, lease_id: int, token: str, now: datetime) -> bool:
    """End a held lease, and tell whether it was held under this token."""
    return bool(_RELEASE.change(connection, {"b_id": lease_id, "b_token": hashed(token), "b_now": now}))


def held(connection: Connection) -> list[HeldLease]:
    """List the held leases."""
    return [HeldLease(*row) for row in connection.execute(_HELD)]


def held_by(connection: Connection, worker_id: int) -> list[HeldLease]:
    """List the leases that a worker holds."""
    return [HeldLease(*row) for row in connection.execute(_HELD_BY, {"worker": worker_id})]


def expire(connection: Connection, lease: HeldLease, *, blame: int, death: str, now: datetime) -> bool:
    """End a lease of a locked search, unless its worker has renewed it since; tell whether it ended.

    Args:
        connection: of a write transaction that has locked the lease's search.
        lease: as it was seen.
        blame: what the death of its worker weighs.
        death: what was seen of it, in words.
        now: the time.
    """
    values = {"b_id": lease.id, "b_renewals": lease.renewals, "b_now": now, "b_blame": blame, "b_death": death}
    return bool(n_moved(connection, _EXPIRE, values))


_N_CHECKS = select(func.count()).where(
    leases.c.search_id == bindparam("id"), leases.c.purpose == "check", leases.c.state == bindparam("state")
)


def n_checks(connection: Connection, search_id: str, state: LeaseState) -> int:
    """Count a search's leases for its checks that are in a state."""
    return connection.execute(_N_CHECKS, {"id": search_id, "state": state}).scalar_one()


_BLAME_OF_CHECKS = select(func.coalesce(func.sum(leases.c.blame), 0), func.max(leases.c.id)).where(
    leases.c.search_id == bindparam("id"), leases.c.purpose == "check", leases.c.state == LeaseState.EXPIRED
)
_DEATH = select(leases.c.death).where(leases.c.id == bindparam("id"))


def blame_of_checks(connection: Connection, search_id: str) -> tuple[int, str]:
    """Sum what the deaths of the workers that checked a search weigh, and tell what was seen of the last."""
    blame, last = connection.execute(_BLAME_OF_CHECKS, {"id": search_id}).one()
    death = None if last is None else connection.execute(_DEATH, {"id": last}).scalar_one()
    return int(blame), death or "its worker stopped reporting"


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
    return secrets.compare_digest(row.token, hashed(token))
