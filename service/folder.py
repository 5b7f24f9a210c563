"""The data folder of a master: made where it is missing, and refused where it cannot be used."""

from __future__ import annotations

import tempfile
from pathlib import Path

from foldstep.service.contract.errors import Fault, InvalidInput


def usable_folder(path: Path) -> None:
    """Make a folder where it is missing, and check that files can be written to it.

    Raises:
        InvalidInput: it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
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
