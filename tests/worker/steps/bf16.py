"""Libraries whose products round their factors, on any machine."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foldstep.models.compiled import build as building
from foldstep.models.compiled import library as loading
from foldstep.models.compiled.build import FLAGS, build
from foldstep.models.compiled.library import Library
from foldstep.worker.steps import compiled


def portable_library(folder: Path) -> Library:
    """As it is built where there is no AMX."""
    without = ("-mno-amx-bf16",) if platform.machine() == "x86_64" else ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "FLAGS", (*FLAGS, *without))
        made = Library(str(build(folder)))
    assert not made.has_tiles
    return made


@contextmanager
def multiplying_bf16(folder: Path, *, portable: bool = False) -> Iterator[Library]:
    """Training goes by such a library until the block ends: this machine's own, or a portable one without AMX."""
    own = loading.library()
    made = portable_library(folder) if portable or not own.has_tiles else own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "has_tiles", True)
        patch.setattr(compiled, "library", lambda: made)
        yield made
