"""`foldstep run` where a master serves the folder already; and what is left of it when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from foldstep.client import Foldstep
from tests.acceptance.processes import WAIT_S, Processes, foldstep, until
from tests.foldstep.test_run import spec, table

LONG = {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "width": 16, "epochs": 100_000, "batch_size": 16}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


@pytest.mark.parametrize("has_worker", [False, True])
def test_a_search_goes_to_the_master_that_is_there(processes: Processes, has_worker: bool) -> None:
    """Its data is sent along where that master may not read it; workers are started where it has none."""
    _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(processes.data_dir))
    if has_worker:
        processes.worker(master)
        until(lambda: len(master.workers()) == 1, "a worker")
    table(processes.folder)
    done = foldstep("run", spec(processes.folder), "--dir", "data", cwd=processes.folder)
    assert done.returncode == 0, done.stderr
    told = f"A master serves data already, at {master.url}; the search goes to it."
    assert told in done.stdout
    assert "completed, 3 trials." in done.stdout
    assert [search.state for search in master.searches()] == ["completed"]
    assert (len(master.workers()) == 1) is has_worker
    assert "The page was" not in done.stdout


def test_a_master_that_ends_meanwhile_is_replaced(processes: Processes) -> None:
    """As that of another `foldstep run` does at its end."""
    server, master = processes.master()
    processes.worker(master)
    until(lambda: len(master.workers()) == 1, "a worker")
    table(processes.folder)
    file = spec(processes.folder, parameters={**LONG, "epochs": 400})
    run = processes.start("foldstep", "run", file, "--dir", "data", "--workers", "1")
    until(lambda: bool(master.searches()), "the search")
    server.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=WAIT_S)
    assert run.returncode == 0, processes.logs()
    assert "That master has ended; this command goes on with its own" in out
    assert "completed, 3 trials." in out


def test_stay_keeps_the_page_up(processes: Processes) -> None:
    table(processes.folder)
    run = processes.start("foldstep", "run", spec(processes.folder), "--stay", "--workers", "1", "--dir", "data")
    assert run.stdout is not None
    lines = []
    while not lines or "The page stays up" not in lines[-1]:
        lines.append(run.stdout.readline())
        assert lines[-1], processes.logs()
    url, _, named = lines[-1].split(": ", 1)[1].strip().partition("/#")
    client = Foldstep(url, (processes.data_dir / "token").read_text().strip())
    (search,) = client.searches()
    client.close()
    assert (search.state, search.id) == ("completed", named)
    run.send_signal(signal.SIGINT)
    assert run.wait(WAIT_S) == 0


def test_a_killed_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither the master nor a worker, nor any child of theirs."""
    table(tmp_path)
    words = ("run", spec(tmp_path, parameters=LONG), "--workers", "2", "--json", "--dir", str(tmp_path / "data"))
    run = psutil.Popen(
        [sys.executable, "-m", "foldstep", *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "FOLDSTEP_REPORT_INTERVAL_S": "0.1"},
    )  # fmt: skip

    def is_training() -> bool:
        try:
            url, token = ((tmp_path / "data" / name).read_text().strip() for name in ("address", "token"))
        except FileNotFoundError:
            return False
        client = Foldstep(url, token, patience_s=10)
        try:
            return any(search.progress.epochs_done for search in client.searches())
        finally:
            client.close()

    until(is_training, "a trial in training")
    children = run.children(recursive=True)
    assert sum("foldstep.worker" in " ".join(child.cmdline()) for child in children) == 2
    run.kill()
    run.wait()
    for child in children:
        child.wait(WAIT_S)


def test_a_master_of_another_folder_at_a_stale_address_is_none_of_ours(processes: Processes) -> None:
    """A master was killed, and one of another folder got its port."""
    server, master = processes.master()
    server.kill()
    server.wait()
    port = master.url.rpartition(":")[2]
    other = processes.start("foldstep", "serve", "--dir", "other", "--port", port)
    assert other.stdout is not None
    assert other.stdout.readline().strip() == master.url
    table(processes.folder)
    done = foldstep("run", spec(processes.folder), "--workers", "1", "--dir", "data", cwd=processes.folder)
    assert done.returncode == 0, done.stderr
    assert "serves data already" not in done.stdout
