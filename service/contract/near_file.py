"""The hint for a file that is not there: where it was looked for, and the file that was probably meant."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from foldstep.service.contract.hints import nearest

_SIMILAR = 0.7  # names of files have their endings in common
_MOST = 2000  # names of a folder that are compared


def missing_file_hint(source: str, folders: Sequence[Path], others: Sequence[str] = ()) -> str:
    """Say where a file was looked for and, where one is similar, which was probably meant.

    Args:
        source: the path that does not exist, absolute or relative to the folders.
        folders: where it was looked for; nothing outside of them is named.
        others: further names that may have been meant.
    """
    near = near_file(source, folders) or nearest(source, others)
    meant = f"; did you mean {near}?" if near else ""
    return f"looked in {' and '.join(str(folder) for folder in folders)}{meant}"


def near_file(source: str, folders: Sequence[Path]) -> str | None:
    """Find the file that a wrong path probably meant, relative to its folder, or absolute as `source` is.

    Its name is similar in the folder of the path; or the same in a folder above or below.
    """
    wanted = Path(source)
    for folder in folders:
        inside = [path for path in _places(folder, wanted) if _is_in(path, folder)]
        names = {name: place for place in reversed(inside) for name in _files_in(place)}
        if wanted.name in names:  # elsewhere
            return _shown(names[wanted.name] / wanted.name, folder, wanted)
        own = (folder / wanted).parent
        beside = _files_in(own) if _is_in(own, folder) else []
        if (near := _alike(wanted.name, beside)) is not None:
            return _shown(own / near, folder, wanted)
    return None


def _alike(name: str, known: Sequence[str]) -> str | None:
    """Find the name that is most alike, or that differs in its ending alone."""
    stem = name.partition(".")[0].lower()
    other_ending = next((other for other in known if stem and other.partition(".")[0].lower() == stem), None)
    return nearest(name, known, cutoff=_SIMILAR) or other_ending


def _places(folder: Path, wanted: Path) -> Iterator[Path]:
    """List the folders to look in: that of the path, the one it is relative to, and those in it."""
    own = (folder / wanted).parent
    yield own
    yield folder
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        yield from sorted(Path(e.path) for e in itertools.islice(entries, _MOST) if e.is_dir() and e.name[0] != ".")


def _files_in(place: Path) -> list[str]:
    try:
        with os.scandir(place) as entries:
            return sorted(
                entry.name for entry in itertools.islice(entries, _MOST) if entry.is_file() and entry.name[0] != "."
            )
    except OSError:
        return []


def _is_in(place: Path, folder: Path) -> bool:
    return place.resolve().is_relative_to(folder.resolve())


def _shown(found: Path, folder: Path, wanted: Path) -> str:
    return str(found if wanted.is_absolute() else os.path.relpath(found, folder))
