"""Use cases: transfer files between workers and master: checkpoints, snapshots, canonical data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.states import LeaseState, TrialState
from foldstep.service.db import leases, searches, trials
from foldstep.service.db.leases import LeaseRow
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.flow.hold import lock_lease, regain

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def check_held(context: Context, lease_id: int, token: str) -> None:
    """Refuse a lease that is not held.

    Raises:
        LeaseLost: the lease is not held, or not under this token.
    """
    _held(context, lease_id, token)


def put_checkpoints(context: Context, lease_id: int, token: str, contents: Mapping[str, bytes]) -> None:
    """Store checkpoints of trials in training; those of trials that were stopped meanwhile are dropped.

    Raises:
        InvalidInput: a name has another form; nothing is stored then.
        LeaseLost: the lease is not held, or not under this token.
    """
    trial_of = {name: files.parse_checkpoint(name).trial for name in contents}
    lease, running = _held(context, lease_id, token)
    folder = files.checkpoint_folder(context.settings, lease.search_id)
    files.write_whole(folder, {name: content for name, content in contents.items() if trial_of[name] in running})


def put_snapshot(context: Context, lease_id: int, token: str, name: str, content: bytes) -> None:
    """Store a snapshot; nothing is stored once no trial of the lease is running.

    Raises:
        InvalidInput: the name has another form.
        LeaseLost: the lease is not held, or not under this token.
    """
    files.check_snapshot_name(name)
    lease, running = _held(context, lease_id, token)
    if running:
        folder = files.snapshot_folder(context.settings, lease.search_id)
        files.write_whole(folder, {files.stored_snapshot(lease_id, name): content})


def snapshot_path(context: Context, lease_id: int, token: str, name: str) -> Path:
    """Find the file of a snapshot from which a trial of the lease resumes.

    Raises:
        InvalidInput: the name has another form.
        LeaseLost: the lease is not held, or not under this token.
        NotFound: there is no such snapshot.
    """
    files.check_snapshot_name(name)
    lease, _ = _held(context, lease_id, token)
    return files.existing(files.snapshot_folder(context.settings, lease.search_id) / name)


def checkpoint_path(context: Context, search_id: str, name: str) -> Path:
    """Find the file of a checkpoint that a search keeps.

    Raises:
        InvalidInput: the name has another form.
        NotFound: there is no such search or checkpoint.
    """
    files.parse_checkpoint(name)
    with context.database.read() as connection:
        searches.get(connection, search_id)
    return files.existing(files.checkpoint_folder(context.settings, search_id) / name)


def data_path(context: Context, fingerprint: str) -> Path:
    """Find the canonical data file with a fingerprint.

    Raises:
        NotFound: there is none.
    """
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise NotFound("There is no such data: a fingerprint is 64 hexadecimal digits.")
    return files.existing(canonical_file(context, fingerprint))


def canonical_file(context: Context, fingerprint: str) -> Path:
    """Build the path of the canonical file with a fingerprint; the file need not exist."""
    return context.settings.datasets_dir / f"{fingerprint}.parquet"


def _held(context: Context, lease_id: int, token: str) -> tuple[LeaseRow, set[int]]:
    """Find a lease that its worker holds, or gets back, and the trials that run under it."""
    with context.database.read() as connection:
        lease = leases.get(connection, lease_id)
        is_ours = leases.is_token(lease, token)
        if lease.state is LeaseState.HELD and is_ours:
            return lease, _running(connection, lease_id)
    if not is_ours:
        raise leases.lost(lease_id)
    with context.database.write() as connection:
        lease, search = lock_lease(connection, lease_id)
        renewals = regain(connection, search, lease_id, token, context.lease_end(context.now()))
        running = _running(connection, lease_id)
    context.watch.saw(lease_id, renewals)
    return lease, running


def _running(connection: Connection, lease_id: int) -> set[int]:
    states = trials.under(connection, lease_id)
    return {number for number, state in states.items() if state is TrialState.RUNNING}
