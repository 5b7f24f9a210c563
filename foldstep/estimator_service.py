"""The service of a process: a master and workers, started with the first fit or search and kept for the next ones.

They are children of a process of their own (`estimator_keeper`), which ends when this process does, however it ends.
A process that is forked forgets the service of its parent, and starts its own.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from foldstep.client import Foldstep
from foldstep.service.contract.errors import Unavailable, error_from_problem
from foldstep.service.contract.processes import python_command

_END_S = 20.0
"""Seconds that the processes have to end by themselves."""
_PATIENCE_S = 5.0
Key = tuple[Path | None, int | None]


class Service:
    """A master and workers in processes of their own.

    Attributes:
        master: a client of the master.
        folder: the master's folder.
        n_users: fits and searches that use it at present.

    Args:
        data_dir: the master's folder; None for a temporary one.
        n_workers: worker processes; None for one a GPU or CPU core.

    Raises:
        FoldstepError: it did not start, as where PyTorch is missing or another version serves the folder.
    """

    def __init__(self, data_dir: Path | None, n_workers: int | None) -> None:
        words = (str(data_dir or ""), str(n_workers or 0))
        self._keeper = subprocess.Popen(
            python_command("foldstep.estimator_keeper", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process
        )
        self.n_users = 0
        said = self._hear()
        if "url" not in said:
            self._end()
            raise (
                error_from_problem(said["problem"])
                if "problem" in said
                else Unavailable("The service of this process did not start; what it wrote to standard error says why.")
            )
        self.folder = Path(said["folder"])
        self._url, self._token = said["url"], said["token"]
        self.master = self.client()

    def client(self) -> Foldstep:
        """Make another client of the master, which its user closes."""
        return Foldstep(self._url, self._token, patience_s=_PATIENCE_S)

    def _hear(self) -> dict[str, Any]:
        """Read what the keeper says next; nothing where it has ended."""
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline()
        return dict(json.loads(line)) if line else {}

    @property
    def is_there(self) -> bool:
        """Whether its processes run."""
        return self._keeper.poll() is None

    def check(self) -> None:
        """Make sure that the service runs.

        Raises:
            Unavailable: no worker is left, or its processes have ended.
        """
        if not self.is_there:
            reason = self._hear().get("gone") or f"exit code {self._keeper.returncode}"
            raise Unavailable(f"The workers of this process have ended ({reason}); the next call starts others.")

    def close(self) -> None:
        """End the processes, and wait for that."""
        self.master.close()
        self._end()

    def _end(self) -> None:
        self._close_pipe()
        try:
            self._keeper.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()

    def forget(self) -> None:
        """Let go of the processes in a forked process, to whose parent they belong."""
        self._close_pipe()  # else they would outlive the parent as long as this process lives
        self._keeper.returncode = 0  # they are no children of this process: nothing to wait for

    def _close_pipe(self) -> None:
        if self._keeper.stdin is not None:
            with suppress(OSError):
                self._keeper.stdin.close()


_services: dict[Key, Service] = {}
_lock = threading.RLock()  # the end of a search whose result is not used any more may come at any point
"""Held while services begin and end."""


@contextmanager
def service(data_dir: Path | None, n_workers: int | None) -> Iterator[Service]:
    """Yield this process's service for a folder and a number of workers, started where there is none.

    One is kept at a time, besides those that other threads use.

    Raises:
        FoldstepError: it did not start.
    """
    key = (None if data_dir is None else data_dir.absolute(), n_workers)
    with _lock:
        _end_others(key)
        found = _services.get(key)
        if found is None:
            found = _services[key] = Service(*key)
        found.n_users += 1
    try:
        yield found
    finally:
        with _lock:
            found.n_users -= 1


def _end_others(key: Key) -> None:
    """End what has no use any more: services that nobody uses, and this one where its processes have ended."""
    for other, one in list(_services.items()):
        if not one.is_there or (other != key and not one.n_users):
            _services.pop(other).close()


@atexit.register
def end_services() -> None:
    """End the services of this process."""
    with _lock:
        while _services:
            _services.popitem()[1].close()


def _forget() -> None:
    global _lock
    _lock = threading.RLock()  # a thread of the parent may have held the old one
    while _services:
        _services.popitem()[1].forget()


os.register_at_fork(after_in_child=_forget)
