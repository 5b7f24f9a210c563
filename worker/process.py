"""The main program of a worker process, from its command line to its exit code."""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import torch

from foldstep.service.contract.connection import PASSING, Connection
from foldstep.service.contract.errors import FoldstepError, Unavailable
from foldstep.service.contract.logs import hide, set_up_from
from foldstep.worker.agent import Agent
from foldstep.worker.client import MasterClient
from foldstep.worker.results import in_words
from foldstep.worker.settings import PATIENCE_S, WorkerSettings
from foldstep.worker.spool import Spool
from foldstep.worker.steps.choice import VARIABLE, chosen
from foldstep.worker.steps.compiled import why_not
from foldstep.worker.steps.engine import has_triton

_PASSING = PASSING | {500}
"""An internal fault of the master may be over soon; whoever delivers results knows when it is not."""
_FAULT = 70
"""Exit code after an unexpected error: other than after a refusal, another process may do better."""


def run() -> int:
    """Run one agent, and return the exit code: 0, 1 after a refusal, or 70 after an unexpected error."""
    arguments = _arguments()
    set_up_from(os.environ, arguments.name)
    os.umask(0o077)  # data, snapshots and results are for this user alone
    torch.set_num_threads(1)  # one thread a process: the bits of a result depend on it, and it is faster
    settings = WorkerSettings(
        device=arguments.device,
        name=arguments.name,
        cache_dir=arguments.cache_dir,
        members=arguments.members,
        patience_s=arguments.patience,
        save_interval_s=arguments.save_interval,
    )
    try:
        reason = why_not_chosen(settings)
    except FoldstepError as error:
        return _refused(error)
    if reason is not None:
        logging.warning(reason)
    url, token, key = arguments.url, os.environ.get("FOLDSTEP_TOKEN", ""), ""
    marks = _Marks(is_read=url == "-")
    if url == "-":
        marks.add("ready")
        url, token, key = (sys.stdin.readline().strip() for _ in range(3))
        if not token:
            return 1  # the process that started this one ended before it had a master
    hide(token)
    leaving = _told_by_signals()
    try:
        connection = Connection(url, token, patience_s=settings.patience_s, leaving=leaving, passing=_PASSING)
        spool = Spool(settings.spool_dir / hashlib.sha256(token.encode()).hexdigest()[:16])  # one for each master
        Agent(MasterClient(connection), settings, leaving, spool, key or None, marks.add).run()
    except Exception as error:
        return _exit_code(error, leaving)
    return 0


def _exit_code(error: Exception, leaving: threading.Event) -> int:
    """Say in words why the worker ends, and choose its exit code."""
    if isinstance(error, Unavailable) and leaving.is_set():
        sys.stderr.write(
            f"foldstep worker: left without its master; the next worker here delivers what it kept. {error.message}\n"
        )
        return 0
    if isinstance(error, FoldstepError):
        return _refused(error)
    logging.error("the worker failed", exc_info=error)
    sys.stderr.write(f"foldstep worker: {in_words(error)}\n")
    return _FAULT


class _Marks:
    """What the parent of this process reads on its standard output, each word once.

    Args:
        is_read: whether there is a parent that reads it.
    """

    def __init__(self, *, is_read: bool) -> None:
        self._is_read = is_read
        self._told: set[str] = set()

    def add(self, mark: str) -> None:
        """Tell a mark, if it was not told before; a parent that has gone hears nothing."""
        if self._is_read and mark not in self._told:
            self._told.add(mark)
            with suppress(OSError):
                os.write(1, f"{mark}\n".encode())


def _told_by_signals() -> threading.Event:
    """Make the event that SIGTERM and SIGINT set: the worker is to leave."""
    leaving = threading.Event()

    def tell(*_: object) -> None:
        # in a thread: the handler may have interrupted this one while it holds the lock of the event
        threading.Thread(target=leaving.set, daemon=True).start()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, tell)
    return leaving


def why_not_chosen(settings: WorkerSettings) -> str | None:
    """Explain why this worker trains without the backend that was chosen; None if it has it.

    Raises:
        InvalidInput: the environment names an unknown backend.
    """
    if chosen() == "fused" and not (settings.is_cuda and has_triton()):
        return (
            f"{VARIABLE} is fused, but the kernel needs a GPU and the package triton. Networks are trained without it."
        )
    return None if settings.is_cuda else why_not()


def _refused(error: FoldstepError) -> int:
    sys.stderr.write(f"foldstep worker: {error.message}\n")
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m foldstep.worker", description="One worker process; its token is in the variable FOLDSTEP_TOKEN."
    )
    parser.add_argument(
        "--url",
        required=True,
        help="of the master; - to read it, the token and a key from standard input",
    )
    parser.add_argument("--device", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--cache-dir", type=Path, required=True)
    parser.add_argument("--members", type=int, default=0)
    parser.add_argument("--patience", type=float, default=PATIENCE_S)
    parser.add_argument("--save-interval", type=float, default=30.0)
    return parser.parse_args()
