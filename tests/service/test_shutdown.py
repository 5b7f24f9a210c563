"""SIGTERM under load: what was begun is answered, nothing is stored without its answer, and the master ends cleanly."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx

from foldstep.service.contract.version import __version__
from tests.acceptance.processes import Processes, until

_CLIENTS = 8
_WORKER = {"name": "w", "device": "cpu", "version": __version__}


def headers(processes: Processes) -> dict[str, str]:
    return {"Authorization": f"Bearer {(processes.data_dir / 'token').read_text().strip()}"}


def register_until_refused(url: str, authorization: dict[str, str], answered: list[int]) -> str:
    """Register worker after worker over one connection; return how the last call ended."""
    with httpx.Client(base_url=url, headers=authorization, timeout=30, trust_env=False) as client:
        while True:
            try:
                answer = client.post("/api/v1/workers", json=_WORKER)
            except httpx.HTTPError as error:
                return type(error).__name__
            if answer.status_code != 201:
                return str(answer.status_code)
            answered.append(answer.json()["worker"])


def test_under_load_every_request_that_was_begun_is_answered(processes: Processes) -> None:
    """Exactly what was answered is stored."""
    process, master = processes.master(FOLDSTEP_MAX_CALLS_PER_S="100000")
    answered: list[int] = []
    with ThreadPoolExecutor(_CLIENTS) as pool:
        clients = [
            pool.submit(register_until_refused, master.url, headers(processes), answered) for _ in range(_CLIENTS)
        ]
        until(lambda: len(answered) > 5 * _CLIENTS, "all clients are at work")
        process.send_signal(signal.SIGTERM)
        ends = Counter(client.result(60) for client in clients)
    assert process.wait(60) == 0
    assert set(ends) <= {"ConnectError", "RemoteProtocolError", "ReadError", "WriteError"}, ends
    assert ids(processes.data_dir) == set(answered), "none is lost, and none is stored that nobody was told of"
    assert "Traceback" not in processes.logs()
    assert "in flight" in processes.logs()


def test_a_request_that_cannot_be_finished_in_time_is_answered_in_words(processes: Processes) -> None:
    process, master = processes.master()
    with closing(sqlite3.connect(processes.data_dir / "foldstep.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # now nobody else writes
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(httpx.post, f"{master.url}/api/v1/workers", json=_WORKER,
                                headers=headers(processes), timeout=60, trust_env=False)  # fmt: skip
            until(lambda: n_in_flight(master.url, headers(processes)) == 2, "it waits")
            process.send_signal(signal.SIGTERM)
            answer = asked.result(60)
        other.execute("ROLLBACK")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "ends" in answer.json()["detail"]
    assert process.wait(60) == 0
    assert "Traceback" not in processes.logs()


def n_in_flight(url: str, authorization: dict[str, str]) -> int:
    """How many requests the master is answering, the one that asks among them."""
    said = httpx.get(f"{url}/metrics", headers=authorization, trust_env=False, timeout=30).text
    return int(float(said.partition("\nfoldstep_requests_in_flight ")[2].split()[0]))


def ids(data_dir: Path) -> set[int]:
    with closing(sqlite3.connect(data_dir / "foldstep.db")) as database:
        return {row[0] for row in database.execute("SELECT id FROM workers")}
