"""The rows of `workers`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, true, union, update
from sqlalchemy.dialects import postgresql, sqlite

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.leaderboard import WorkerView
from foldstep.service.contract.lease import WorkerRegistration
from foldstep.service.contract.states import LeaseState, TrialState
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import leases, trials, workers


def add(connection: Connection, registration: WorkerRegistration, now: datetime) -> int:
    """Insert a worker, and return its id; one of the same key is the same worker, and lives again."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {**registration.model_dump(), "registered_at": now, "last_seen_at": now}
    statement = insert(workers).values(values)
    again = {name: statement.excluded[name] for name in values} | {"died_at": None}
    statement = statement.on_conflict_do_update(index_elements=[workers.c.key], set_=again)
    return int(connection.execute(statement.returning(workers.c.id)).scalar_one())


_DIED = update(workers).values(died_at=bindparam("b_now")).returning(workers.c.id)
_DIED_BY_ID = _DIED.where(workers.c.id == bindparam("b_worker"))
_DIED_BY_KEY = _DIED.where(workers.c.key == bindparam("b_worker"))


def died(connection: Connection, worker: int | str, now: datetime) -> int:
    """Store that a worker is dead, and return its id.

    Args:
        connection: of a write transaction.
        worker: its id, or the key that it registered with.
        now: the time.

    Raises:
        NotFound: no such worker has registered.
    """
    statement = _DIED_BY_ID if isinstance(worker, int) else _DIED_BY_KEY
    worker_id = connection.execute(statement, {"b_worker": worker, "b_now": now}).scalar_one_or_none()
    if worker_id is None:
        raise NotFound("No such worker has registered, so it holds no lease.")
    return int(worker_id)


_SEEN = Prepared(
    update(workers)
    .where(workers.c.id == bindparam("b_id"), workers.c.died_at.is_(None))
    .values(last_seen_at=bindparam("b_now")),
    ("b_id", "b_now"),
)
_HOLDING = select(leases.c.worker_id).where(leases.c.state == LeaseState.HELD)
_LIVES = (workers.c.last_seen_at >= bindparam("since")) & workers.c.died_at.is_(None)
_BOTH = union(select(workers.c.id).where(_LIVES), _HOLDING).subquery()
_ACTIVE = Prepared(select(func.count()).select_from(_BOTH), ("since",))


def seen(connection: Connection, worker_id: int, now: datetime) -> None:
    """Store when a worker was last seen.

    Raises:
        NotFound: no worker of that id is registered, or its parent said that it is dead.
    """
    if not _SEEN.change(connection, {"b_id": worker_id, "b_now": now}):
        raise NotFound(f"There is no worker {worker_id}; register it first.")


def n_active(connection: Connection, since: datetime) -> int:
    """Count the workers that were seen since then and are not known to be dead, or hold a lease."""
    return int(_ACTIVE.rows(connection, {"since": since})[0][0])


def names(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Find the names of workers, by id."""
    found = connection.execute(select(workers.c.id, workers.c.name).where(workers.c.id.in_(ids)))
    return dict(found.all())


def backends(connection: Connection, search_id: str) -> list[tuple[str, str]]:
    """List the devices and backends, as far as they are known, that trained a search's trials, in order."""
    statement = (
        select(workers.c.device, workers.c.backend)
        .select_from(trials.join(workers, trials.c.worker_id == workers.c.id))
        .where(trials.c.search_id == search_id, workers.c.backend.is_not(None))
        .distinct()
        .order_by(workers.c.device, workers.c.backend)
    )
    return [(device, backend) for device, backend in connection.execute(statement)]


def seen_since(
    connection: Connection, since: datetime, live_since: datetime, *, limit: int, before: int | None = None
) -> list[WorkerView]:
    """List workers seen since then, the latest registered first; live are those seen since `live_since`.

    Those whose parents said that they are dead are not live.

    Args:
        connection: to the database.
        since: the earliest time.
        live_since: the earliest time of a live one.
        limit: number of rows at most.
        before: only those registered before the worker with this id; None for all.
    """
    running = (
        select(func.count())
        .select_from(trials.join(leases, trials.c.lease_id == leases.c.id))
        .where(leases.c.worker_id == workers.c.id, leases.c.state == LeaseState.HELD)
        .where(trials.c.state == TrialState.RUNNING)
        .correlate(workers)
        .scalar_subquery()
    )
    statement = (
        select(workers.c.id, workers.c.name, workers.c.device, workers.c.last_seen_at, running, workers.c.died_at)
        .where(workers.c.last_seen_at >= since, true() if before is None else workers.c.id < before)
        .order_by(workers.c.id.desc())
        .limit(limit)
    )
    return [
        WorkerView(
            worker=id_, name=name, device=device, last_seen_at=at, running=n, live=died is None and at >= live_since
        )
        for id_, name, device, at, n, died in connection.execute(statement)
    ]
