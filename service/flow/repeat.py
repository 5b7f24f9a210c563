"""Use case: a worker asks for a lease again, since the first answer was lost; it gets the same lease."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from foldstep.service.contract.errors import LeaseLost
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.contract.states import LeaseState
from foldstep.service.db import leases, stages, trials
from foldstep.service.db.leases import LeaseRow
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.grant import Grant, checking, new_token, training
from foldstep.service.flow.hold import lock_lease, regain


@dataclass(frozen=True)
class Repeated:
    """The answer to a request that was answered before; None where that lease has been released since."""

    lease: Lease | None


def repeat(context: Context, request: LeaseRequest) -> Repeated | None:
    """Find the lease that a request with this key got; None if none did, or if it is lost by now."""
    if request.key is None:
        return None
    with context.database.read() as connection:
        row = leases.by_key(connection, request.key)
    if row is None:
        return None
    if row.state is LeaseState.RELEASED:
        return Repeated(None)
    return _again(context, row, request.key)


def _again(context: Context, row: LeaseRow, key: str) -> Repeated | None:
    try:
        with context.database.write() as connection:
            row, search = lock_lease(connection, row.id)
            token = new_token(key)
            renewals = _renew(connection, context, row, search, token)
            lease = _build(connection, context, row, search, token)
    except LeaseLost:
        with context.database.write() as connection:
            leases.forget_key(connection, row.id)
        return None
    context.watch.saw(row.id, renewals)
    return Repeated(lease)


def _renew(connection: Connection, context: Context, row: LeaseRow, search: SearchRow, token: str) -> int:
    now = context.now()
    expires_at = context.lease_end(now)
    renewals = leases.renew(connection, row, token, now=now, expires_at=expires_at, steps=0)
    return regain(connection, search, row.id, token, expires_at) if renewals is None else renewals


def _build(connection: Connection, context: Context, row: LeaseRow, search: SearchRow, token: str) -> Lease | None:
    now = context.now()
    grant = Grant(row.id, token, context.lease_end(now))
    if row.purpose == "check":
        return checking(search, grant)
    claimed = trials.claimed(connection, row.id)
    stage = stages.get(connection, search.id, search.stage)
    return training(connection, search, stage, claimed, grant, now) if claimed else None
