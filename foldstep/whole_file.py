"""Write a file whole or not at all."""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foldstep.service.contract.errors import InvalidInput


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write to, which gets its name, flushed to the disk, when the block ends, and else is deleted.

    Raises:
        InvalidInput: the disk refuses it.
    """
    from foldstep.service.flow.files import keep_draft  # brings the database, which reading does not need

    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            yield file
            keep_draft(file, draft, path)
    except (OSError, zipfile.LargeZipFile) as error:
        raise InvalidInput(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.") from None
    finally:
        draft.unlink(missing_ok=True)


def folder_for(path: Path) -> Path:
    """Make a folder for files, where it is missing.

    Raises:
        InvalidInput: the disk refuses it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"The folder {path} cannot be made: {error.strerror or error}.") from None
    return path
