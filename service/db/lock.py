"""A lock on the data folder, so that only one master opens its SQLite database."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foldstep.service.contract.errors import Conflict

LOCK_FILE = "master.lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock a folder for one master; the system releases the lock when the process ends, however it ends.

    Raises:
        Conflict: another master holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another master serves {folder.absolute()}; stop it, choose another data folder, or use Postgres."
            ) from None
        yield


def is_free(folder: Path) -> bool:
    """Tell whether a folder has been locked by a master before, and is not now."""
    try:
        with (folder / LOCK_FILE).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # it is locked, or no master with a database in this folder was ever here
        return False
    return True
