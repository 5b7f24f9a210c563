"""Use case: keep the checkpoints of the best trials as the leaderboard changes, and snapshots while they are needed."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from foldstep.service.contract.stage import StagePlan
from foldstep.service.db import continued, scores, stages, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.trials import Place
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.planner.stages import n_continued

MAX_TRIALS = 2**31 - 1
"""The greatest number of a trial that the database can hold."""


def last_kept(connection: Connection, search: SearchRow) -> Place | None:
    """Find the last trial whose checkpoints are kept; None if all or none are, or too few trials are ranked."""
    limit = search.spec.checkpoints.limit
    return trials.nth_best(connection, search.id, min(limit, MAX_TRIALS)) if limit else None


def prune(connection: Connection, search: SearchRow, last: Place | None) -> list[str]:
    """Forget the checkpoints of the trials after `last`, and return the files to delete after the commit."""
    if last is None and search.spec.checkpoints.limit != 0:
        return []
    numbers = trials.kept_below(connection, search.id, last)
    if not numbers:
        return []
    trials.unkeep(connection, search.id, numbers)
    return scores.take_checkpoints(connection, search.id, numbers)


SPARE = 2
"""Snapshots kept for each trial that the next stage continues: some of the best may lie outside its space."""


def last_with_snapshot(connection: Connection, search: SearchRow) -> Place | None:
    """Find the last trial of the present stage whose snapshot is kept; None if all or none are, or too few ranked."""
    limit = SPARE * n_continued(search.spec, search.stage)
    return trials.nth_best(connection, search.id, limit, search.stage) if limit else None


def prune_snapshots(connection: Connection, search: SearchRow, last: Place | None) -> list[str]:
    """Forget the snapshots of the trials after `last`, and return the files to delete after the commit."""
    if last is None:
        return []
    return continued.take_snapshots_below(connection, search.id, search.stage, last.rank_key, last.number)


def stale_snapshots(connection: Connection, context: Context, search: SearchRow) -> list[str]:
    """List the snapshots of earlier stages that a new stage does not continue, to delete after the commit.

    None once a trial of the new stage is planned: only before that no trial runs, so no snapshot is being uploaded.
    """
    stage = stages.get(connection, search.id, search.stage) if search.stage else None
    if stage is None or stage.n_planned:
        return []
    goes_on = set(StagePlan.model_validate(stage.plan).continues)
    kept = {name for number, name in continued.resumes(connection, search.id).items() if number in goes_on}
    return sorted(files.names_in(files.snapshot_folder(context.settings, search.id)) - kept)


def clean_up(context: Context, search: SearchRow, dropped: Sequence[str] = (), snapshots: Sequence[str] = ()) -> None:
    """Delete checkpoints and snapshots that the database no longer names; what a crash leaves is deleted later."""
    if dropped:
        files.delete(files.checkpoint_folder(context.settings, search.id), dropped)
    if snapshots:
        files.delete(files.snapshot_folder(context.settings, search.id), snapshots)
    if search.is_over:
        files.delete_folder(files.snapshot_folder(context.settings, search.id))
