"""A master and workers on this machine, for as long as one command runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from foldstep.client import Foldstep
from foldstep.connect import find_token
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.leaderboard import WorkerView
from foldstep.service.contract.processes import python_command
from foldstep.service.folder import usable_folder

if TYPE_CHECKING:
    from foldstep.worker.launch.local import WorkerGroup

_SHUTDOWN_S = 15


@contextmanager
def local_master(data_dir: Path, data_roots: Sequence[Path]) -> Iterator[Foldstep]:
    """Serve `data_dir` on a free port of 127.0.0.1 until the block ends.

    Args:
        data_dir: the master's folder; made when missing.
        data_roots: folders that data files may be read from.

    Raises:
        Unavailable: the master did not start; the message is the master's own.
    """
    with _starting(data_dir, data_roots) as answer:
        yield answer()


@contextmanager
def local_service(
    data_dir: Path, data_roots: Sequence[Path], processes: int | None
) -> Iterator[tuple[Foldstep, WorkerGroup]]:
    """Start a master as `local_master` does, and worker processes, until the block ends.

    Both take more than a second to start, so they start at the same time. The workers train nothing before
    `connect_workers`, so that the block can decide first which searches there are to train.
    """
    from foldstep.worker.launch.local import WorkerCommand, WorkerGroup, find_devices

    with _starting(data_dir, data_roots) as answer:
        command = WorkerCommand(data_dir / "datasets")
        group = WorkerGroup(command, find_devices("auto", processes))
        group.start()
        try:
            yield answer(), group
        finally:
            group.leave()
            group.wait()


def connect_workers(group: WorkerGroup, master: Foldstep, data_dir: Path) -> None:
    """Let the workers of `local_service` train what the master has."""
    group.connect(master.url, find_token(None, data_dir))


@contextmanager
def workers_beside(master: Foldstep, data_dir: Path, processes: int | None) -> Iterator[WorkerGroup | None]:
    """Start worker processes for a master that runs on this machine, until the block ends.

    Yields:
        The processes; None where `processes` is None and the master has a worker already: then none are started.
    """
    from foldstep.worker.launch.local import WorkerCommand, WorkerGroup, find_devices

    if processes is None and any(_is_alive(worker) for worker in master.workers()):
        yield None
        return
    command = WorkerCommand(data_dir / "datasets")
    group = WorkerGroup(command, find_devices("auto", processes))
    group.start()
    try:
        group.connect(master.url, find_token(None, data_dir))
        yield group
    finally:
        group.leave()
        group.wait()


_ALIVE_S = 10.0
"""A worker without work asks for some every two seconds; one that was silent for longer is gone, or trains."""


def _is_alive(worker: WorkerView) -> bool:
    return worker.running > 0 or (datetime.now(UTC) - worker.last_seen_at).total_seconds() < _ALIVE_S


@contextmanager
def _starting(data_dir: Path, data_roots: Sequence[Path]) -> Iterator[Callable[[], Foldstep]]:
    """Start a master that ends with the block; the function that is yielded waits until it answers."""
    usable_folder(data_dir)
    log_path = data_dir / "master.log"
    roots = os.pathsep.join(dict.fromkeys(str(p.absolute()) for p in (data_dir, *data_roots)))
    argv = python_command("foldstep", "serve", "--dir", str(data_dir), "--port", "0", "--with-parent")
    with open(log_path, "w", opener=_private) as log:
        master = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,  # it ends when this process ends, for whatever reason
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={**_without_doors(), "FOLDSTEP_DATA_ROOTS": roots},
        )

    def answer() -> Foldstep:
        assert master.stdout is not None
        address = master.stdout.readline().strip()
        if not address:
            master.wait()
            said = log_path.read_text().strip().splitlines() or ["The master did not start."]
            raise Unavailable(said[-1].removeprefix("foldstep: "))
        return Foldstep(address, find_token(None, data_dir), patience_s=5.0)

    try:
        yield answer
    finally:
        _end(master)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _without_doors() -> dict[str, str]:
    """Leave out what says how others reach a master: one that a command starts is for this machine alone."""
    others = {f"FOLDSTEP_{name}" for name in ("TLS_CERT", "TLS_KEY", "ROOT_PATH", "TRUSTED_PROXIES", "HOST")}
    return {name: value for name, value in os.environ.items() if name not in others}


def _end(master: subprocess.Popen[str]) -> None:
    master.terminate()
    try:
        master.wait(_SHUTDOWN_S)
    except subprocess.TimeoutExpired:
        master.kill()
        master.wait()
    for pipe in (master.stdin, master.stdout):
        if pipe is not None:
            pipe.close()
