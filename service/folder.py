"""The data folder of a master: made where it is missing, and refused where it cannot be used."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from foldstep.service.contract.errors import Fault, InvalidInput

_PRIVATE = 0o077
"""The rights of others, that files of a master and of workers do not give."""


def keep_private() -> None:
    """Let this process and its children make files and folders that their owner alone can read (0600, 0700)."""
    os.umask(_PRIVATE)


def take_rights(folder: Path) -> None:
    """Take the rights of others from what an earlier version made in a data folder.

    The folder itself is left as its owner has made it; what lies in its folders cannot be reached.
    """
    for path in folder.iterdir():
        with suppress(OSError):  # of another user, or gone by now
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode & _PRIVATE and not path.is_symlink():
                path.chmod(mode & ~_PRIVATE)


def usable_folder(path: Path) -> None:
    """Make a folder, for its owner alone, where it is missing, and check that files can be written to it.

    Raises:
        InvalidInput: it cannot be made or written to.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (FileExistsError, NotADirectoryError):
        raise _unusable(path, "it is a file, or lies in one") from None
    except OSError as error:
        raise _unusable(path, (error.strerror or type(error).__name__).lower()) from None


def _unusable(path: Path, reason: str) -> InvalidInput:
    fault = Fault(code="unusable_folder", path="--dir", expected="a folder to write to", got=f"{path}: {reason}")
    message = f"The data folder {path.absolute()} cannot be used: {reason}. Choose another one with --dir."
    return InvalidInput(message, faults=[fault])
