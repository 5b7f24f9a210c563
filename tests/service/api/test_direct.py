"""The calls of workers that are answered without their routes: what is wrong with one concerns no other."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, event

from foldstep.service.contract.lease import Lease
from foldstep.service.db import held
from foldstep.service.flow.context import Context
from tests.service.api.conftest import Master
from tests.service.scenes import Hand, new_search


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Write to the database from elsewhere, as another process may."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def commits_of(context: Context) -> Iterator[list[Connection]]:
    seen: list[Connection] = []

    def note(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            seen.append(connection)

    event.listen(context.database.engine, "commit", note)
    yield seen
    event.remove(context.database.engine, "commit", note)


def report(master: Master, lease: Lease, token: str | None = None, epoch: int = 2) -> httpx.Response:
    progress = [{"trial": trial.number, "epoch": epoch, "score": 0.5} for trial in lease.trials]
    headers = {"X-Lease-Token": token or lease.token}
    return master.post(f"/leases/{lease.lease}:report", json={"progress": progress}, headers=headers)


def epochs(context: Context, lease: Lease) -> list[int]:
    with context.database.read() as connection:
        return [trial.epoch for trial in held.trials_of(connection, lease.lease).values()]


def test_reports_that_wait_for_the_writer_share_a_transaction_and_the_loop_answers_others(
    master: Master, tmp_path: Path
) -> None:
    context: Context = master.app.state.context
    new_search(context, budget={"trials": 20})
    hands = [Hand(context, name) for name in "abcd"]
    leases = [hand.take(4) for hand in hands]
    with commits_of(context) as commits, ThreadPoolExecutor(8) as pool:
        with locked(tmp_path / "foldstep.db"):
            sent = [pool.submit(report, master, lease) for lease in leases]
            wrong = pool.submit(report, master, leases[0], "not-its-token", 3)
            time.sleep(0.5)  # all of them have arrived
            assert master.http.get("/healthz", timeout=5).status_code == 200
            assert not any(answer.done() for answer in (*sent, wrong))
        answers = [answer.result() for answer in sent]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.json()["stop"] for answer in answers] == [[]] * 4
    assert (wrong.result().status_code, wrong.result().json()["code"]) == (409, "lease_lost")
    assert [epochs(context, lease) for lease in leases] == [[2, 2]] * 4, "the one that failed took nothing back"
    assert len(commits) == 1


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/leases", {"worker": 10**6, "members": 4}, {}, 404),
        ("/leases", {"worker": -1, "members": 4}, {}, 422),
        ("/leases/7:report", {}, {}, 422),
        ("/leases/7:report", {}, {"X-Lease-Token": "none"}, 409),
        ("/leases/7:report", {"progress": 3}, {"X-Lease-Token": "none"}, 422),
        ("/leases/99999999999:report", {}, {"X-Lease-Token": "none"}, 422),
        ("/leases/x:release", {}, {"X-Lease-Token": "none"}, 422),
        ("/leases/7:release", {}, {"X-Lease-Token": "none"}, 409),
    ],
)
def test_a_faulty_call_is_refused_as_by_its_route(
    master: Master, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    answer = master.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["detail"]
