"""The master as a process: quick, small, alone, and clean at its end."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from foldstep.service.auth.token_file import load_or_make_token
from foldstep.service.settings import Settings

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a master in the test's folder; those that still run at the end are killed."""
    running = []

    def run(**environment: str) -> subprocess.Popen[str]:
        own = {"FOLDSTEP_DATA_DIR": str(tmp_path), "FOLDSTEP_PORT": "0", **environment}
        process = subprocess.Popen(
            [sys.executable, "-m", "foldstep.service.app"],
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_master_serves_and_ends_cleanly(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start()
    url = address(process)
    assert (tmp_path / "address").read_text().strip() == url
    assert httpx.get(f"{url}/readyz", trust_env=False).json() == {"status": "ready"}
    assert psutil.Process(process.pid).memory_info().rss < 150e6
    process.send_signal(number)
    out, said = process.communicate()
    assert (process.returncode, out) == (0, "")
    levels = [line.split()[1] for line in said.splitlines()]
    assert levels == ["INFO", "INFO", "INFO"], said  # it serves, it ends, it has ended
    assert "T" in said.split()[0]
    assert not (tmp_path / "address").exists()


def test_token_is_made_once_and_is_private(start: Start, tmp_path: Path) -> None:
    url = address(start())
    path = tmp_path / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = path.read_text().strip()
    assert len(token) >= 32
    assert load_or_make_token(Settings(data_dir=tmp_path)) == token
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{url}/api/v1/searches", headers=headers, trust_env=False).json() == []


def test_one_folder_has_one_master(start: Start) -> None:
    first = start()
    address(first)
    second = start()
    out, err = second.communicate()
    assert (second.returncode, out) == (1, "")
    assert "Another master serves" in err
    assert "Traceback" not in err
    first.kill()
    first.communicate()
    assert address(start()).startswith("http://")


def test_logs_are_json_on_request_and_hold_no_token(start: Start) -> None:
    process = start(FOLDSTEP_LOG_FORMAT="json", FOLDSTEP_TOKEN="a-secret-token")
    url = address(process)
    headers = {"Authorization": "Bearer a-secret-token", "X-Request-ID": "r-1"}
    assert httpx.get(f"{url}/api/v1/searches/a-secret-token", headers=headers, trust_env=False).status_code == 404
    process.terminate()
    _, said = process.communicate()
    lines = [json.loads(line) for line in said.splitlines()]
    (failed,) = [line for line in lines if line["level"] == "warning"]
    assert (failed["request"], failed["status"]) == ("r-1", 404)
    assert "a-secret-token" not in said


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"FOLDSTEP_PORT": "high"}, "FOLDSTEP_PORT"),
        ({"FOLDSTEP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "database does not answer"),
        ({"FOLDSTEP_HOST": "203.0.113.1"}, "Cannot listen"),
    ],
)
def test_master_that_cannot_start_says_why(start: Start, environment: dict[str, str], expected: str) -> None:
    process = start(**environment)
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert expected in err
    assert len(err.splitlines()) == 1


def test_master_imports_nothing_heavy() -> None:
    heavy = ["torch", "pyarrow", "sklearn", "scipy", "pandas", "alembic"]
    code = f"import json, sys, foldstep.service.app; print(json.dumps([m for m in {heavy} if m in sys.modules]))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == []
