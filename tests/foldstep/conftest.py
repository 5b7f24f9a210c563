"""Fixtures for tests of the command line: a master and a worker for each module, and commands, all as processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from foldstep.client import Foldstep
from tests.acceptance.processes import Processes, foldstep


class Desk:
    """A terminal in a folder that holds a master's data folder `data`; call it to run a command.

    Attributes:
        folder: where commands run; a data root of the master.
        processes: the started processes.
        master: a client, to check what the commands did.
    """

    def __init__(self, folder: Path, processes: Processes, master: Foldstep) -> None:
        self.folder, self.processes, self.master = folder, processes, master

    def __call__(self, *words: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return foldstep(*words, "--dir", "data", cwd=self.folder, stdin=stdin, **environment)

    def write(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content)
        return name


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    with Processes(folder) as processes:
        _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(folder))
        yield Desk(folder, processes, master)


@pytest.fixture(scope="module")
def busy_desk(desk: Desk) -> Desk:
    """A desk whose master has a worker."""
    desk.processes.worker(desk.master)
    return desk


def refused(done: subprocess.CompletedProcess[str], *names: str, code: str, exit_code: int = 1) -> None:
    """Assert that a command was refused: with an exit code, the error's code and one line for each fault."""
    assert done.returncode == exit_code, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    head, *faults = done.stderr.splitlines()
    assert code in head
    if faults:
        assert head.startswith(f"{len(faults)} faults")
    for name in names:
        assert name in done.stderr
