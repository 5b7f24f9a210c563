"""`/readyz` of a real master: 503 in words within two seconds, whatever it cannot write to; then ready again."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.processes import Processes, foldstep, until
from tests.service.conftest import PostgresServer, postgres_server


def readiness(url: str) -> httpx.Response:
    return httpx.get(f"{url}/readyz", trust_env=False, timeout=2.0)


def unready(url: str) -> str:
    """The words of a master that is not ready."""
    answer = readiness(url)
    assert answer.status_code == 503, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == "unavailable"
    return str(problem["detail"])


def test_a_disk_that_takes_no_byte(processes: Processes) -> None:
    process, master = processes.master()
    assert readiness(master.url).json() == {"status": "ready"}
    of_master = psutil.Process(process.pid)
    of_master.rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    until(lambda: readiness(master.url).status_code == 503, "a master that cannot write is not ready")
    words = unready(master.url)
    assert "the data folder cannot be written to: file too large" in words
    assert "the database cannot be written to: its" in words
    assert str(processes.folder) not in words
    assert httpx.get(f"{master.url}/healthz", trust_env=False, timeout=2.0).status_code == 200
    of_master.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    until(lambda: readiness(master.url).status_code == 200, "it is ready again")


def test_a_folder_that_is_gone(processes: Processes) -> None:
    _, master = processes.master()
    processes.data_dir.rename(processes.folder / "elsewhere")
    until(lambda: readiness(master.url).status_code == 503, "a master without its folder is not ready")
    assert "the data folder cannot be written to: no such file or directory" in unready(master.url)


def freeze(server: PostgresServer, number: signal.Signals) -> None:
    """Send a signal to the server and all processes of it."""
    postmaster = psutil.Process(server.server.get_pid())
    for process in [postmaster, *postmaster.children(recursive=True)]:
        process.send_signal(number)


def test_a_frozen_postgres(processes: Processes) -> None:
    with postgres_server() as server:
        url = server.create("frozen")
        _, master = processes.master(FOLDSTEP_DATABASE_URL=url)
        assert readiness(master.url).status_code == 200
        freeze(server, signal.SIGSTOP)
        try:
            until(lambda: readiness(master.url).status_code == 503, "a master without its database is not ready")
            for _ in range(3):
                assert unready(master.url) == "This master is not ready: the database does not answer within 1.5 s."
            headers = {"Authorization": f"Bearer {(processes.data_dir / 'token').read_text().strip()}"}
            measured = httpx.get(f"{master.url}/metrics", headers=headers, trust_env=False, timeout=2.0).text
            assert "foldstep_database_up 0.0" in measured
            assert httpx.get(f"{master.url}/healthz", trust_env=False, timeout=2.0).status_code == 200
        finally:
            freeze(server, signal.SIGCONT)
        until(lambda: readiness(master.url).status_code == 200, "it is ready again")


@pytest.mark.parametrize("content", [b"no database at all, and long enough to look like one" * 100, None])
def test_a_damaged_database_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    data = tmp_path / "data"
    assert foldstep("upgrade", "--dir", "data", cwd=tmp_path).returncode == 0
    path = data / "foldstep.db"
    whole = path.read_bytes()
    path.write_bytes(content if content is not None else whole[:100] + os.urandom(len(whole) - 100))
    for words in (("serve", "--port", "0"), ("upgrade",)):
        done: subprocess.CompletedProcess[str] = foldstep(*words, "--dir", "data", cwd=tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("database_damaged: The database is damaged"), done.stderr
        assert "foldstep restore" in done.stderr
