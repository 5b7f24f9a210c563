"""Compiled libraries whose matrix products round their factors to bfloat16, on any machine."""

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
    """Build the library as on a processor without AMX; on such a processor it is the library itself."""
    own = loading.library()
    if not own.has_tiles:
        return own
    without = ("-mno-amx-bf16",) if platform.machine() == "x86_64" else ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "FLAGS", (*FLAGS, *without))
        made = Library(str(build(folder)))
    assert not made.has_tiles
    return made


@contextmanager
def multiplying_bf16(folder: Path, *, portable: bool = False) -> Iterator[Library]:
    """Train with bfloat16 products until the block ends: in the library of this machine, or a portable one without AMX.

    Args:
        folder: where the portable library is built.
        portable: take the portable library in any case.
    """
    own = loading.library()
    made = portable_library(folder) if portable or not own.has_tiles else own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "has_tiles", True)
        patch.setattr(compiled, "library", lambda: made)
        yield made
