"""A file as the body of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from foldstep.service.contract.errors import InvalidInput

_BLOCK_BYTES = 1 << 18


class FileBody:
    """A file as the body of a request; it is read anew where the request is sent again."""

    def __init__(self, path: Path, on_progress: Callable[[int, int], object] | None) -> None:
        self._path, self._on_progress = path, on_progress
        self.size = path.stat().st_size

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        with self._path.open("rb") as file:
            while sent < self.size:
                block = file.read(min(_BLOCK_BYTES, self.size - sent))
                if not block:
                    raise InvalidInput(f"{self._path} became shorter while it was sent; send it again.")
                yield block
                sent += len(block)
                if self._on_progress is not None:
                    self._on_progress(sent, self.size)
