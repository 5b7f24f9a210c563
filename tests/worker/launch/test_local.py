"""Groups of worker processes: started before there is a master, restarted, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foldstep.service.contract.errors import InvalidInput
from foldstep.worker.launch.local import WorkerCommand, WorkerGroup, find_devices
from tests.acceptance.processes import WAIT_S, Processes, spec, until


@pytest.fixture
def group(tmp_path: Path) -> Iterator[WorkerGroup]:
    made = WorkerGroup(WorkerCommand(tmp_path / "cache", patience_s=10), ["cpu", "cpu"])
    yield made
    made.leave()
    made.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


def test_workers_that_were_started_first_work_for_the_master_that_they_are_told(
    group: WorkerGroup, processes: Processes
) -> None:
    group.start()
    _, master = processes.master()
    assert master.workers() == []
    group.connect(master.url, (processes.data_dir / "token").read_text().strip())
    until(lambda: len(master.workers()) == 2, "both workers")
    group.leave()
    assert group.wait() == 0
    assert {i: end.exit_code for i, end in group.ends.items()} == {0: 0, 1: 0}


def test_a_worker_that_dies_is_replaced_and_told_the_master_too(group: WorkerGroup, processes: Processes) -> None:
    _, master = processes.master()
    group.start()
    group.connect(master.url, (processes.data_dir / "token").read_text().strip())
    until(lambda: len(master.workers()) == 2, "both workers")
    group._workers[0].process.kill()
    until(lambda: len(master.workers()) == 3, "a third one")
    assert not group.is_gone
    group.leave()
    assert group.wait() == 0


def test_leaving_before_there_is_a_master(group: WorkerGroup) -> None:
    group.start()
    begun = time.monotonic()
    group.leave()
    assert group.wait() == 0
    assert time.monotonic() - begun < WAIT_S


def test_a_worker_whose_starter_ends_before_there_is_a_master_ends(tmp_path: Path) -> None:
    argv = WorkerCommand(tmp_path).argv("cpu", "w")
    worker = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(WAIT_S) == 1
    assert worker.stderr is not None
    assert worker.stderr.read() == ""
    worker.stderr.close()


def test_a_worker_that_nobody_hears_any_more_trains_on(processes: Processes) -> None:
    """Its launcher was killed: what it says goes nowhere, as the missing compiler here."""
    _, master = processes.master()
    search = master.submit(spec("unheard", 2, epochs=1))
    reader, writer = os.pipe()
    os.close(reader)
    token = (processes.data_dir / "token").read_text().strip()
    argv = [*WorkerCommand(processes.folder / "cache", patience_s=10).argv("cpu", "w"), "--url", master.url]
    environment = {**os.environ, "FOLDSTEP_TOKEN": token, "CXX": "no-such-compiler"}
    worker = subprocess.Popen(argv, stderr=writer, env=environment)
    os.close(writer)
    try:
        assert master.wait(search.id).state == "completed"
    finally:
        worker.terminate()
        worker.wait(WAIT_S)


def test_a_group_whose_workers_ended_for_good_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = tmp_path / "torch"
    torch.mkdir()
    (torch / "__init__.py").write_text("raise ImportError('half an installation')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    group = WorkerGroup(WorkerCommand(tmp_path / "cache"), ["cpu", "cpu"])
    group.start()
    assert group.wait() == 1
    assert group.is_gone
    assert group.reason == "ImportError: half an installation"


def test_nobody_can_read_the_token_from_the_command_line_or_the_environment(
    group: WorkerGroup, processes: Processes
) -> None:
    _, master = processes.master()
    token = (processes.data_dir / "token").read_text().strip()
    group.start()
    group.connect(master.url, token)
    until(lambda: len(master.workers()) == 2, "both workers")
    if sys.platform != "linux":
        return
    for process in [worker.process for worker in group._workers.values()]:
        for name in ("cmdline", "environ"):
            assert token.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
    os.kill(group._workers[1].process.pid, signal.SIGTERM)
    until(lambda: 1 in group.ends, "a worker that was told to leave does so")
    assert group.ends[1].exit_code == 0


def test_a_gpu_that_is_not_there_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidInput, match="no device cuda:99: PyTorch can use"):
        find_devices("cuda:99", None)
