"""The spool: what could not be delivered to the master is kept on disk, one folder for each lease.

A folder belongs to the process that holds its lock. The system gives the lock up when that process ends, however it
ends. So another process finds what a killed one has left, and delivers it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from foldstep.models.checkpoint import CheckpointDamaged
from foldstep.service.contract.report import Report
from foldstep.worker.client import Fenced, LeaseKey
from foldstep.worker.parcel import Parcel, decode_parcel, encode_parcel

log = logging.getLogger(__name__)

_NOTHING = Report()
_LOCK, _LEASE = "lock", "lease.json"
_PARCEL = re.compile(r"parcel-\d{6}")
_SNAPSHOT = re.compile(r"snapshot-(\d+)")
_LONGEST_KEPT_S = 30 * 24 * 3600.0
"""A folder that nobody could deliver for so long is deleted: no master has its lease any more."""


class Spool:
    """The folders of all leases of this machine that have something left to deliver to one master.

    Args:
        folder: made with the first lease that needs it; readable by this user only, for it holds lease tokens.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, lease: Fenced) -> Kept:
        """Make the folder of a lease of this process; nothing is written before something is kept."""
        digest = hashlib.sha256(lease.token.encode()).hexdigest()[:16]
        return Kept(self.folder / f"lease-{lease.lease}-{digest}", LeaseKey(lease.lease, lease.token))

    def abandoned(self) -> Iterator[Kept]:
        """Yield the folders whose process has ended; each is closed again after its turn."""
        for path in sorted(self.folder.glob("lease-*")):
            kept = _adopt(path)
            if kept is not None:
                try:
                    yield kept
                finally:
                    kept.close()


class Kept:
    """What one lease has left to deliver: parcels in their order, and the last snapshot of each trial.

    Args:
        folder: its folder in the spool.
        lease: the lease.
        lock: the descriptor of the lock, where the process holds it already.
    """

    def __init__(self, folder: Path, lease: LeaseKey, lock: int | None = None) -> None:
        self.folder, self.lease, self._lock = folder, lease, lock
        self._unwritten: list[Parcel] = []
        self._n_parcels = 0 if lock is None else len(list(self._parcel_paths()))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to deliver."""
        return not self._unwritten and (self._lock is None or not any(self._files()))

    def put(self, parcel: Parcel) -> None:
        """Keep a parcel, durably where the disk takes it, and forget the older snapshots of its trials."""
        if not parcel.is_worth_keeping:
            return
        kept = replace(parcel, report=parcel.report.model_copy(update={"progress": []}), following=None)
        if self._unwritten:  # in their order
            self._unwritten.append(kept)
            return
        try:
            self._write(kept)
        except OSError as error:
            log.warning("%s cannot be written (%s): results are kept in memory only", self.folder, error)
            self._unwritten.append(kept)

    def parcels(self) -> Iterator[Parcel]:
        """Yield what is to be delivered, the oldest first; each is removed once the next one is asked for."""
        while (oldest := self._oldest()) is not None:
            path, parcel = oldest
            if parcel is not None:
                yield parcel
            path.unlink(missing_ok=True)
        snapshots = self._snapshots()
        if snapshots:
            yield Parcel(_NOTHING, snapshots=snapshots)
            for trial in snapshots:
                self._snapshot_path(trial).unlink(missing_ok=True)
        while self._unwritten:
            yield self._unwritten[0]
            del self._unwritten[0]

    def clear(self) -> None:
        """Delete the folder."""
        self._unwritten.clear()
        if self._lock is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.close()

    def close(self) -> None:
        """Give the lock up; a folder with nothing to deliver is deleted."""
        if self._lock is not None:
            if not any(self._files()):
                shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def _write(self, parcel: Parcel) -> None:
        self._open()
        trials = {r.trial for r in parcel.report.results}
        inside = {t: c for t, c in parcel.snapshots.items() if parcel.is_last or t in trials}
        parcel = replace(parcel, snapshots={t: c for t, c in parcel.snapshots.items() if t not in inside})
        for trial, content in parcel.snapshots.items():
            _write_whole(self._snapshot_path(trial), content)
        parcel = replace(parcel, snapshots=inside)
        if parcel.is_worth_keeping:
            _write_whole(self.folder / f"parcel-{self._n_parcels:06d}", encode_parcel(parcel))
            self._n_parcels += 1
        for trial in trials | set(inside):
            self._snapshot_path(trial).unlink(missing_ok=True)

    def _open(self) -> None:
        """Make the folder and lock it; it gets its name with the lock held, so that nobody adopts it before."""
        if self._lock is not None:
            return
        draft = self.folder.with_name(f"new-{self.folder.name}-{os.getpid()}")
        draft.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write_whole(draft / _LEASE, json.dumps(self.lease._asdict()).encode())
        draft.rename(self.folder)
        self._lock = lock

    def _oldest(self) -> tuple[Path, Parcel | None] | None:
        path = next(self._parcel_paths(), None)
        if path is None:
            return None
        try:
            return path, decode_parcel(path.read_bytes())
        except CheckpointDamaged as error:
            log.error("%s is damaged and dropped: %s", path, error)
            return path, None

    def _parcel_paths(self) -> Iterator[Path]:
        return iter(sorted(p for p in self._files() if _PARCEL.fullmatch(p.name)))

    def _snapshots(self) -> dict[int, bytes]:
        found = {path: _SNAPSHOT.fullmatch(path.name) for path in sorted(self._files())}
        return {int(match[1]): path.read_bytes() for path, match in found.items() if match}

    def _snapshot_path(self, trial: int) -> Path:
        return self.folder / f"snapshot-{trial}"

    def _files(self) -> Iterator[Path]:
        names = list(self.folder.iterdir()) if self._lock is not None and self.folder.is_dir() else []
        return (p for p in names if _PARCEL.fullmatch(p.name) or _SNAPSHOT.fullmatch(p.name))


def _adopt(path: Path) -> Kept | None:
    """Take over the folder of a process that has ended; None if it lives, or if another process was faster."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lease = LeaseKey(**json.loads((path / _LEASE).read_bytes()))
    except (OSError, ValueError, TypeError):  # another process has it, or has just delivered and deleted it
        os.close(lock)
        return None
    kept = Kept(path, lease, lock)
    if time.time() - path.stat().st_mtime > _LONGEST_KEPT_S:
        log.warning("%s could not be delivered for %d days and is deleted", path, _LONGEST_KEPT_S // 86400)
        kept.clear()
        return None
    return kept


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, and give it its name."""
    draft = path.with_name(f"{path.name}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with suppress(OSError):
            draft.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
