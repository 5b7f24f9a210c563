"""The master's own token: made at the first start, in a file that only its owner can read."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from foldstep.service.settings import Settings

TOKEN_FILE = "token"


def load_or_make_token(settings: Settings) -> str:
    """Find the token: in the settings, else in the data folder's file, which is made if it is missing."""
    if settings.token:
        return settings.token
    path = settings.data_dir / TOKEN_FILE
    with contextlib.suppress(FileExistsError):
        _write_new(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def _write_new(path: Path, token: str) -> None:
    """Write a file that never exists half-written and is never readable by others."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
        os.link(draft, path)  # unlike a rename, this fails where another process was first
    finally:
        draft.unlink()
