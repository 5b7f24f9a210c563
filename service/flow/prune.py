"""Use case: keep the checkpoints of the best trials as the leaderboard moves."""

from __future__ import annotations

from sqlalchemy import Connection

from service.db import scores, trials
from service.db.searches import SearchRow
from service.flow import files
from service.flow.context import Context


def prune(connection: Connection, search: SearchRow) -> list[str]:
    """Forget the checkpoints that are not among the best; returns the files to delete after the commit."""
    limit = search.spec.checkpoints.limit
    if limit is None:
        return []
    last = trials.nth_best(connection, search.id, limit) if limit else None
    if limit and last is None:
        return []
    numbers = trials.kept_below(connection, search.id, last and last[:2])
    if not numbers:
        return []
    trials.unkeep(connection, search.id, numbers)
    return scores.take_checkpoints(connection, search.id, numbers)


def checkpoint_bar(connection: Connection, search: SearchRow) -> float | None:
    """The score that a trial must reach for its checkpoints to stay; None where any will do."""
    limit = search.spec.checkpoints.limit
    last = trials.nth_best(connection, search.id, limit) if limit else None
    return None if last is None else last[2]


def clean_up(context: Context, search: SearchRow, dropped: list[str]) -> None:
    """Delete files that the database has let go of; what is left by a crash here goes at the next start."""
    files.delete(files.checkpoint_folder(context.settings, search.id), dropped)
    if search.is_over:
        files.delete_folder(files.state_folder(context.settings, search.id))
