"""Checkpoints and snapshots on disk: written whole or not at all, deleted only after the commit."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.errors import Fault, InvalidInput, NotFound
from foldstep.service.settings import Settings

STATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.safetensors")
_DRAFT = ".part"


def parse_checkpoint(name: str) -> CheckpointName:
    """Read the name of a checkpoint.

    Raises:
        InvalidInput: it has another form.
    """
    parsed = CheckpointName.parse(name)
    if parsed is None:
        raise _bad_name(name, "val_<metric>-<score>_trial-<number>_fold-<fold>_epoch-<epoch>.safetensors")
    return parsed


def is_checkpoint_of(name: str, trials: Collection[int]) -> bool:
    """Tell whether `name` is that of a complete checkpoint of one of the trials."""
    parsed = CheckpointName.parse(name)
    return parsed is not None and parsed.trial in trials


def is_draft(name: str) -> bool:
    """Tell whether a file is a draft, which was not written to its end."""
    return name.endswith(_DRAFT)


def check_snapshot_name(name: str) -> None:
    """Refuse a name for a snapshot that is not a plain `….safetensors`.

    Raises:
        InvalidInput: it has another form.
    """
    if not STATE_NAME.fullmatch(name):
        raise _bad_name(name, "up to 151 letters, digits, dots, underscores and dashes, then .safetensors")


def _bad_name(name: str, expected: str) -> InvalidInput:
    fault = Fault(code="bad_name", path="name", expected=expected, got=name)
    return InvalidInput(f"A file cannot have this name: {fault}.", faults=[fault])


def checkpoint_folder(settings: Settings, search_id: str) -> Path:
    """Build the path of the folder with a search's checkpoints."""
    return settings.checkpoints_dir / search_id


def snapshot_folder(settings: Settings, search_id: str) -> Path:
    """Build the path of the folder with a search's snapshots."""
    return settings.snapshots_dir / search_id


def stored_snapshot(lease_id: int, name: str) -> str:
    """Build the name under which a snapshot is stored: the worker's name for it, made unique by the lease."""
    return f"lease-{lease_id}_{name}"


def stored_snapshots(folder: Path, lease_id: int, snapshots: Mapping[int, str]) -> dict[int, str]:
    """Find the stored names of the snapshots that have arrived, by trial; a trial without one starts afresh.

    Raises:
        InvalidInput: a name has another form.
    """
    for name in snapshots.values():
        check_snapshot_name(name)
    there = names_in(folder) if snapshots else set()
    kept = {trial: stored_snapshot(lease_id, name) for trial, name in snapshots.items()}
    return {trial: name for trial, name in kept.items() if name in there}


def existing(path: Path) -> Path:
    """Check that a file exists, and return its path.

    Raises:
        NotFound: there is no such file.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path.name}.")
    return path


def write_whole(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files (name to content), each under a temporary name, flushed to the disk, then renamed."""
    if not contents:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        _write_one(folder / name, content)
    _flush_folder(folder)


def keep_draft(file: IO[bytes], draft: Path, path: Path) -> None:
    """Flush an open file to the disk and give it its name; a file of that name is replaced."""
    file.flush()
    os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(path)
    _flush_folder(path.parent)


def _write_one(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_DRAFT}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def delete(folder: Path, names: Iterable[str]) -> None:
    """Delete files of a folder; missing ones are ignored."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (folder / name).unlink()


def delete_folder(folder: Path) -> None:
    """Delete a folder with all that is in it, if it exists."""
    if folder.is_dir():
        shutil.rmtree(folder)


def delete_old(folder: Path, names: Iterable[str], before: float) -> None:
    """Delete files of a folder that were last written before a moment, in seconds since 1970."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            if (folder / name).stat().st_mtime < before:
                (folder / name).unlink()


def names_in(folder: Path) -> set[str]:
    """List the names of the files in a folder; none if it does not exist."""
    return {entry.name for entry in _entries(folder) if entry.is_file()}


def sizes_by_name(folder: Path) -> dict[str, int]:
    """Find the sizes of the files in a folder, in bytes; drafts are none."""
    sizes = {}
    for path in _entries(folder):
        with contextlib.suppress(FileNotFoundError):  # deleted in the meantime
            if not is_draft(path.name):
                sizes[path.name] = path.stat().st_size
    return sizes


def sizes_in(folder: Path) -> list[int]:
    """List the sizes of the files in a folder, in bytes; empty where there is no folder."""
    sizes = []
    for path in _entries(folder):
        with contextlib.suppress(FileNotFoundError):  # deleted in the meantime
            sizes.append(path.stat().st_size)
    return sizes


def _entries(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def random_name(suffix: str) -> str:
    """Make a random, unique name; only the letters, digits and dots of the suffix are kept."""
    return secrets.token_hex(16) + re.sub(r"[^A-Za-z0-9.]", "", suffix)[:40]
