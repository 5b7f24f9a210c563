"""Use cases: uploaded files as they came, named by the SHA-256 of their bytes.

They are kept beside the canonical files, since a later spec may say that the same file is to be read otherwise.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from foldstep.service.contract.dataset import StoredFile
from foldstep.service.contract.errors import Fault, InvalidInput, NotFound
from foldstep.service.db import datasets
from foldstep.service.flow import files
from foldstep.service.flow.context import Context

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ABANDONED_S = 86_400.0
"""Seconds after which an upload that was never registered is deleted at the next start."""


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def original_file(context: Context, sha256: str) -> Path:
    """Build the path of an uploaded file; it need not exist."""
    return context.settings.files_dir / sha256


def stored_file(context: Context, sha256: str) -> StoredFile:
    """Find an uploaded file.

    Raises:
        NotFound: no uploaded file has that SHA-256.
    """
    if not _SHA256.fullmatch(sha256) or not original_file(context, sha256).is_file():
        raise NotFound(f"No file with the SHA-256 {sha256} was uploaded; PUT /api/v1/files/{{sha256}} takes it.")
    return StoredFile(sha256=sha256, bytes=original_file(context, sha256).stat().st_size)


def uploaded(context: Context, sha256: str) -> Path:
    """Find the path of an uploaded file that a registration names.

    Raises:
        InvalidInput: no uploaded file has that SHA-256.
    """
    try:
        stored_file(context, sha256)
    except NotFound:
        expected = "the SHA-256 of an uploaded file"
        fault = Fault(code="not_uploaded", path="file", expected=expected, got=sha256, hint="upload the file first")
        raise InvalidInput(f"There is no such file: {fault}.", faults=[fault]) from None
    return original_file(context, sha256)


class Draft:
    """A file on its way in, hashed while it is written."""

    def __init__(self, context: Context, path: Path, file: IO[bytes]) -> None:
        self._context, self._path, self._file = context, path, file
        self._hash = hashlib.sha256()

    def write(self, block: bytes) -> None:
        """Append a block of bytes."""
        self._hash.update(block)
        self._file.write(block)

    def keep(self, expected: str | None = None) -> StoredFile:
        """Store the file under its SHA-256, whole or not at all; the same file again changes nothing.

        Args:
            expected: the SHA-256 that it must have; None for any.

        Raises:
            InvalidInput: it has another one, so something else arrived than was sent.
        """
        sha256 = self._hash.hexdigest()
        if expected is not None and sha256 != expected:
            raise _other_content(expected, sha256)
        files.keep_draft(self._file, self._path, original_file(self._context, sha256))
        return stored_file(self._context, sha256)


@contextmanager
def draft(context: Context) -> Iterator[Draft]:
    """Begin a file on its way in; what is not kept when the block ends is deleted."""
    folder = context.settings.uploads_dir
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / files.random_name("")
    try:
        path.touch(mode=0o600, exist_ok=False)
        with path.open("wb") as file:
            yield Draft(context, path, file)
    finally:
        path.unlink(missing_ok=True)


def _other_content(expected: str, got: str) -> InvalidInput:
    hint = "the file changed while it was sent, or was damaged on the way; send it again"
    fault = Fault(code="other_content", path="sha256", expected=f"content with {expected}", got=got, hint=hint)
    return InvalidInput(f"The upload is not the file that was announced: {fault}.", faults=[fault])


def delete_unused(context: Context, sha256: str | None) -> None:
    """Delete an uploaded file from which no registered data set was read; None and a missing one are ignored."""
    with context.database.read() as connection:
        if sha256 is None or sha256 in datasets.files_in_use(connection):
            return
    files.delete(context.settings.files_dir, [sha256])


def delete_abandoned(context: Context) -> None:
    """Delete uploaded files that belong to no data set, but for those of the last day."""
    folder = context.settings.files_dir
    with context.database.read() as connection:
        unused = files.names_in(folder) - datasets.files_in_use(connection)
    long_ago = time.time() - _ABANDONED_S
    files.delete(folder, [name for name in unused if (folder / name).stat().st_mtime < long_ago])
