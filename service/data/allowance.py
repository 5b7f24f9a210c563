"""What a child may take of the machine: to read a file by its size, to compute by what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

from foldstep.service.child import Limits
from foldstep.service.data.recognise import GZIP_MAGIC, PARQUET_MAGIC
from foldstep.service.settings import Settings

_LEAST_BYTES, _PLAIN, _PACKED = 640 << 20, 4, 40
"""A file of text takes up to twice its size (benchmarks/results/ingest.json), a packed one as often as it unpacks."""
_LEAST_S, _BYTES_A_SECOND = 120, 2 << 20
_SHARE = 0.7
"""The share of the machine's memory that a child may have at most."""
_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def limits_for(settings: Settings, path: Path) -> Limits:
    """Choose the limits for reading a file; the settings come first."""
    size, factor = _size_of(path), _PACKED if _is_packed(path) else _PLAIN
    memory_bytes = min(_LEAST_BYTES + factor * size, int(_SHARE * machine_bytes()))
    cpu_s = _LEAST_S + factor * size // _BYTES_A_SECOND
    return Limits(settings.reader_memory_bytes or memory_bytes, settings.reader_cpu_s or cpu_s)


def limits_to_compute(settings: Settings) -> Limits:
    """Choose the limits for an analysis or for a learning method; the setting comes first."""
    return Limits(settings.compute_memory_bytes or int(_SHARE * machine_bytes()))


def machine_bytes() -> int:
    """Measure the memory of the machine, or of the container that this process lives in, in bytes."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CGROUPS:
        try:
            found.append(int(Path(name).read_text()))
        except (OSError, ValueError):  # there is no such file, or it says `max`
            continue
    return min(found)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # the child will say so
        return 0


def _is_packed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return False
    return head.startswith((GZIP_MAGIC, PARQUET_MAGIC))
