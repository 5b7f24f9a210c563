"""The process that keeps a master and workers for the estimators of another process, and ends with it.

Its standard input comes from that process, which never writes: once it is closed, for whatever reason, all ends. On
standard output it writes one JSON object a line: where the master is, or why there is none; later, that no worker is
left.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import orjson

from foldstep.client import Foldstep
from foldstep.connect import find_token, master_of
from foldstep.local import connect_workers, local_service, workers_beside
from foldstep.service.child import KEEP
from foldstep.service.contract.errors import FoldstepError

if TYPE_CHECKING:
    from foldstep.worker.launch.local import WorkerGroup

_LOOK_S = 0.5
"""Seconds between looks whether a worker is left."""


def main(data_dir: Path | None, processes: int | None) -> None:
    """Keep a master and workers until standard input is closed, or no worker is left.

    Args:
        data_dir: the master's folder; None for a temporary one, which is deleted at the end.
        processes: workers; None for one a GPU or CPU core.
    """
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(TemporaryDirectory(prefix="foldstep-fit-")))
        try:
            master, group = stack.enter_context(_serving(folder, processes))
        except FoldstepError as error:
            _say({"problem": error.problem()})
            return
        _say({"url": master.url, "token": find_token(None, folder), "folder": str(folder.absolute())})
        _wait(group)


@contextmanager
def _serving(folder: Path, processes: int | None) -> Iterator[tuple[Foldstep, WorkerGroup | None]]:
    """Start a master with workers; where one serves the folder already, only workers that it lacks."""
    there = master_of(folder) if folder.exists() else None
    if there is not None:
        with workers_beside(there, folder, processes) as beside:
            yield there, beside
        return
    os.environ[KEEP] = "1"  # the master reads tables of the process that it is for, and of no other
    with local_service(folder, [], processes) as (master, group):
        connect_workers(group, master, folder)
        yield master, group


def _wait(group: WorkerGroup | None) -> None:
    """Wait for the end of standard input, or of the last worker, which is told."""
    while not (select.select([0], [], [], _LOOK_S)[0] and not os.read(0, 1)):
        if group is not None and group.is_gone:
            _say({"gone": group.reason})
            return


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(what).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1] else None, int(sys.argv[2]) or None)
