"""A process that dies is started again as long as that may help, and the master is told of its death at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from foldstep.presence import unless_gone, while_others_work
from foldstep.service.contract.leaderboard import SearchView
from foldstep.worker.launch import local
from foldstep.worker.launch.local import WorkerCommand, WorkerGroup
from foldstep.worker.launch.started import READY
from tests.acceptance.processes import Processes, spec, until
from tests.worker.desk import SPEC, opened

DIES = "open('starts', 'a').write('x'); os.kill(os.getpid(), 9)"


@dataclass(frozen=True)
class Scripted(WorkerCommand):
    """A command that runs a script in the place of a worker."""

    script: str = ""

    def argv(self, device: str, name: str) -> list[str]:  # noqa: ARG002
        return [sys.executable, "-c", f"import os, sys, time; os.chdir({str(self.cache_dir)!r}); {self.script}"]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(local, "_LONGEST_WAIT_S", 0.02)


def n_starts(folder: Path) -> int:
    path = folder / "starts"
    return len(path.read_text()) if path.exists() else 0


def test_a_process_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    group = WorkerGroup(Scripted(tmp_path, script=DIES), ["cpu"])
    group.start()
    group.wait()
    assert n_starts(tmp_path) == local._STARTS
    assert group.is_gone
    assert group.reason.startswith("killed by SIGKILL")


def test_a_process_that_got_ready_is_started_again_without_a_count(tmp_path: Path) -> None:
    script = f"print('{READY}', flush=True); time.sleep(0.05); {DIES}"
    group = WorkerGroup(Scripted(tmp_path, script=script), ["cpu"])
    group.start()
    until(lambda: n_starts(tmp_path) > 2 * local._STARTS, "many starts")
    group.leave()
    group.wait()


def test_a_search_whose_workers_are_all_down_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_FIRST_WAIT_S", 60.0)
    script = f"print('{READY}', flush=True); time.sleep(0.05); sys.exit('no memory') if 0 else os._exit(9)"
    group = WorkerGroup(Scripted(tmp_path, script=script), ["cpu", "cpu"])
    said: list[str] = []
    look: Any = unless_gone(group, tmp_path, said.append)
    group.start()
    until(lambda: group.is_down, "the deaths")
    with opened(tmp_path / "master") as desk:
        search = desk.direct.submit(SPEC)
        for _ in range(3):
            look(search)
    group.leave()
    group.wait()
    assert said == ["No worker runs at present (exit code 9). They are started again in a moment."]


def test_a_search_without_workers_of_its_own_says_when_nobody_is_left(tmp_path: Path) -> None:
    said: list[str] = []
    times = iter(range(0, 1000, 11))
    with opened(tmp_path) as desk:
        search: SearchView = desk.direct.submit(SPEC)
        look = while_others_work(desk.direct, tmp_path, said.append, now=lambda: float(next(times)))
        look(search)
        look(search)
        assert said == [
            f"No worker is left to train {search.id}; it waits. Start some: foldstep worker --dir {tmp_path}"
        ]
        desk.worker()
        until(lambda: bool(desk.direct.workers()), "a worker")
        look(search)
    assert said[1:] == ["There are workers again."]


def test_the_master_is_told_of_a_death_at_once(processes: Processes) -> None:
    """The lease would last for ten minutes."""
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="600")
    search = master.submit(spec("told", 6, epochs=100)).id
    group = WorkerGroup(WorkerCommand(processes.folder / "cache"), ["cpu"])
    group.start()
    group.connect(master.url, (processes.data_dir / "token").read_text().strip())
    try:
        until(lambda: master.search(search).progress.epochs_done > 0, "a trial in training")
        group._workers[0].process.kill()
        assert master.wait(search).counts == {"completed": 6}
    finally:
        group.leave()
        group.wait()
    assert "SIGKILL" in processes.logs()
