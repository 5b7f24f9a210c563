"""A worker that is told to end does so, whatever its master does; one whose starter is killed ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.processes import WAIT_S, Processes, spec, until

PATIENCE = ("--patience", "100000")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("fate", ["killed", "hung"])
@pytest.mark.parametrize("task", ["idle", "training"])
def test_a_worker_whose_master_is_gone_obeys_at_once(
    processes: Processes, task: str, fate: str, name: signal.Signals
) -> None:
    """It would wait for days otherwise; a master that hangs accepts connections, and never answers."""
    server, master = processes.master()
    worker = processes.worker(master, "w", 0, *PATIENCE)
    until(lambda: len(master.workers()) == 1, "a worker")
    if task == "training":
        search = master.submit(spec("long", 4, epochs=1_000_000))
        until(lambda: master.search(search.id).progress.epochs_done > 0, "a trial in training")
    if fate == "killed":
        server.kill()
        server.wait()
    else:
        server.send_signal(signal.SIGSTOP)
    try:
        worker.send_signal(name)
        assert worker.wait(WAIT_S) == 0
    finally:
        if fate == "hung":
            server.send_signal(signal.SIGCONT)
    assert "Traceback" not in processes.logs()


def test_a_worker_that_is_told_while_its_master_lives_gives_its_trials_back(processes: Processes) -> None:
    _, master = processes.master()
    worker = processes.worker(master, "w", 0, *PATIENCE)
    search = master.submit(spec("long", 4, epochs=1_000_000))
    until(lambda: master.search(search.id).progress.epochs_done > 0, "a trial in training")
    worker.terminate()
    assert worker.wait(WAIT_S) == 0
    view = master.search(search.id)
    assert (view.counts, view.progress.members) == ({"waiting": 4}, 0)


def test_a_killed_worker_command_leaves_no_process_behind(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(spec("long", 8, epochs=1_000_000))
    file = str(processes.data_dir / "token")
    words = (
        "worker",
        "--url",
        master.url,
        "--token-file",
        file,
        "--processes",
        "2",
        "--cache",
        "cache",
        "--device",
        "cpu",
    )
    command = psutil.Popen(
        [sys.executable, "-m", "foldstep", *words], cwd=processes.folder, stderr=subprocess.DEVNULL, env=os.environ
    )
    until(lambda: master.search(search.id).progress.epochs_done > 0, "a trial in training")
    children = command.children(recursive=True)
    assert len(children) >= 2
    command.kill()
    command.wait()
    for child in children:
        child.wait(WAIT_S)
