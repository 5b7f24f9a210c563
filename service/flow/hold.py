"""Use case: a worker shows that it holds a lease, also one that was given up too soon."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.states import LeaseState, TrialState
from foldstep.service.db import counts, leases, searches, suspects
from foldstep.service.db.leases import LeaseRow
from foldstep.service.db.searches import SearchRow


def lock_lease(connection: Connection, lease_id: int) -> tuple[LeaseRow, SearchRow]:
    """Find a lease, and lock its search.

    Raises:
        LeaseLost: there is no such lease; its search was deleted.
    """
    return _with_search(connection, lease_id, searches.lock)


def find_lease(connection: Connection, lease_id: int) -> tuple[LeaseRow, SearchRow]:
    """Find a lease and its search.

    Raises:
        LeaseLost: there is no such lease; its search was deleted.
    """
    return _with_search(connection, lease_id, searches.get)


def _with_search(
    connection: Connection, lease_id: int, find: Callable[[Connection, str], SearchRow]
) -> tuple[LeaseRow, SearchRow]:
    lease = leases.get(connection, lease_id)
    try:
        return lease, find(connection, lease.search_id)
    except NotFound:
        raise leases.lost(lease_id) from None


def is_released(connection: Connection, lease_id: int, token: str) -> bool:
    """Tell whether a worker has released its lease before: then it repeats a call whose answer was lost."""
    lease = leases.get(connection, lease_id)
    return lease.state is LeaseState.RELEASED and leases.is_token(lease, token)


def regain(connection: Connection, search: SearchRow, lease_id: int, token: str, expires_at: datetime) -> int:
    """Give an expired lease of a locked search back to its worker, with those of its trials that no other has taken.

    Returns:
        How often the lease was renewed, this time counted.

    Raises:
        LeaseLost: it is not expired, or not under this token; or nothing of it is left.
    """
    lease = leases.get(connection, lease_id)
    if lease.state is not LeaseState.EXPIRED or not leases.is_token(lease, token) or search.is_over:
        raise leases.lost(lease_id)
    if not (
        _checks_again(connection, search) if lease.purpose == "check" else _trains_again(connection, search, lease)
    ):
        raise leases.lost(lease_id)
    return leases.regain(connection, lease_id, token, expires_at)


def _checks_again(connection: Connection, search: SearchRow) -> bool:
    return search.awaits_checks and not leases.n_checks(connection, search.id, LeaseState.HELD)


def _trains_again(connection: Connection, search: SearchRow, lease: LeaseRow) -> bool:
    parallel = search.spec.budget.parallel
    if parallel is not None:
        n_running = counts.n_in(connection, search.id, TrialState.RUNNING)
        if n_running + suspects.n_lost(connection, search.id, lease.id) > parallel:
            return False
    return suspects.regain(connection, search.id, lease.id, lease.worker_id) > 0
