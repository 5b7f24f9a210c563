"""Use case: remove the files that a crash left behind, when the master starts."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from pathlib import Path

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.states import TrialState
from foldstep.service.db import scores, searches, suspects, trials
from foldstep.service.flow import files, originals
from foldstep.service.flow.context import Context


def recover(context: Context) -> None:
    """Delete checkpoints without a stored result, snapshots of ended searches, uploads and half-written files.

    Folders of searches that the database does not know are left alone: they may be all that is left of them.
    """
    _clean_drafts(context, context.settings.uploads_dir, files.names_in(context.settings.uploads_dir))
    originals.delete_abandoned(context)
    with context.database.read() as connection:
        ids = set(searches.all_ids(connection))
    for search_id in sorted(ids & _folders(context.settings.checkpoints_dir)):
        _clean_checkpoints(context, search_id)
    for search_id in sorted(ids & _folders(context.settings.snapshots_dir)):
        _clean_snapshots(context, search_id)


ABANDONED_S = 86_400.0
"""Age at which a half-written file counts as left behind where other masters may be writing it, in seconds."""


def _clean_drafts(context: Context, folder: Path, names: Collection[str]) -> None:
    """Delete half-written files; where masters share a database and its files, only those that are old."""
    before = math.inf if context.database.is_sqlite else time.time() - ABANDONED_S
    files.delete_old(folder, names, before)


def _folders(parent: Path) -> set[str]:
    return {p.name for p in parent.iterdir() if p.is_dir()} if parent.is_dir() else set()


def _clean_checkpoints(context: Context, search_id: str) -> None:
    """Delete checkpoints that belong to no stored result, unless its trial's may be on the way."""
    folder = files.checkpoint_folder(context.settings, search_id)
    with context.database.read() as connection:
        kept = scores.checkpoints(connection, search_id)
        awaited = trials.numbers_in(connection, search_id, TrialState.RUNNING)
        awaited |= suspects.numbers_lost(connection, search_id)
    files.delete(folder, [n for n in files.names_in(folder) - kept if not files.is_checkpoint_of(n, awaited)])


def _clean_snapshots(context: Context, search_id: str) -> None:
    folder = files.snapshot_folder(context.settings, search_id)
    try:
        with context.database.read() as connection:
            is_over = searches.get(connection, search_id).is_over
    except NotFound:
        return
    if is_over:
        files.delete_folder(folder)
    else:
        _clean_drafts(context, folder, [n for n in files.names_in(folder) if files.is_draft(n)])
