"""Use cases: show searches and workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from foldstep.service.contract.final import REFIT
from foldstep.service.contract.leaderboard import BorderFinding, SearchView, StageView, TrialView, WorkerView
from foldstep.service.contract.refit import Refitted
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TrialState
from foldstep.service.db import ranking, searches, stages, tallies, workers
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.db.tallies import ENDED, Tally
from foldstep.service.flow.context import Context
from foldstep.service.flow.files import checkpoint_folder
from foldstep.service.flow.follow import purposes
from foldstep.service.flow.pages import Page, page_of, read_cursor
from foldstep.service.flow.progress import n_trials, progress_of
from foldstep.service.flow.rank import trial_views

MAX_SEARCHES = 200
MAX_WORKERS = 1000


def search(context: Context, search_id: str) -> SearchView:
    """Show one search.

    Raises:
        NotFound: no search has that id.
    """
    with context.database.read() as connection:
        return _views(connection, context, [searches.get(connection, search_id)])[0]


def submitted_spec(context: Context, search_id: str) -> Any:
    """Read the spec of a search as the user wrote it.

    Raises:
        NotFound: there is no such search.
    """
    with context.database.read() as connection:
        searches.get(connection, search_id)
        return searches.submitted(connection, search_id)


def all_searches(context: Context, limit: int = MAX_SEARCHES, cursor: str | None = None) -> Page[SearchView]:
    """List a page of the searches, the newest first.

    Raises:
        InvalidInput: the cursor is not one of this list's.
    """
    after = read_cursor(cursor, _created)
    with context.database.read() as connection:
        rows = searches.newest(connection, limit + 1, after)
        views = _views(connection, context, rows)
    return page_of(views, limit, lambda search: (search.created_at.isoformat(), search.id))


def _created(at: str, search_id: str) -> tuple[datetime, str]:
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None or not isinstance(search_id, str):
        raise ValueError
    return moment, search_id


def borders(context: Context, search_id: str) -> list[BorderFinding]:
    """List what the border checks of all finished stages found.

    Raises:
        NotFound: there is no such search.
    """
    with context.database.read() as connection:
        searches.get(connection, search_id)
        return [
            finding for stage in stages.of_searches(connection, [search_id])[search_id] for finding in stage.findings
        ]


def all_workers(context: Context, limit: int = MAX_WORKERS, cursor: str | None = None) -> Page[WorkerView]:
    """List a page of the workers that were seen in the last ten lease times, the latest registered first.

    Raises:
        InvalidInput: the cursor is not one of this list's.
    """
    now, lease_time = context.now(), timedelta(seconds=context.settings.lease_ttl_s)
    key = read_cursor(cursor, lambda worker: (int(worker),))
    with context.database.read() as connection:
        rows = workers.seen_since(
            connection, now - 10 * lease_time, now - lease_time, limit=limit + 1, before=key[0] if key else None
        )
    return page_of(rows, limit, lambda worker: (worker.worker,))


def _views(connection: Connection, context: Context, rows: Sequence[SearchRow]) -> list[SearchView]:
    """Make the views of searches; the number of queries is the same for one as for many."""
    ids = [row.id for row in rows]
    counted, reached = tallies.of_searches(connection, ids), stages.of_searches(connection, ids)
    best = _best(connection, rows)
    progress = progress_of(connection, context, rows, reached, counted)
    begun = searches.follower_ids(connection, ids)
    return [
        SearchView(
            id=row.id,
            name=row.name,
            state=row.state,
            method=row.spec.method,
            task=row.problem.task,
            metric=row.metric,
            baseline=row.problem.baseline,
            dataset=row.problem.data.dataset,
            fingerprint=row.problem.fingerprint,
            stage=row.stage,
            n_stages=row.n_stages,
            trials=n_trials(row, reached[row.id]),
            counts=_counts(counted[row.id]),
            n_folds=row.problem.n_folds,
            best=best.get(row.id),
            progress=progress[row.id],
            member_steps_per_s=progress[row.id].member_steps_per_s,
            notes=[*row.notes, *([row.failure] if row.failure else [])],
            checks=row.checks,
            checkpoint_dir=str(checkpoint_folder(context.settings, row.id).absolute()),
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            stages=[_stage_view(stage, counted[row.id]) for stage in reached[row.id]],
            follows=row.follows,
            purpose=row.purpose,
            refits=_refits(row, reached[row.id]),
            followers={purpose: begun[row.id].get(purpose) for purpose in purposes(row.spec)},
        )
        for row in rows
    ]


def _refits(row: SearchRow, reached: Sequence[StageRow]) -> Refitted | None:
    if row.purpose != REFIT or row.spec.cv.holdout is None:
        return None
    plan = StagePlan.model_validate(reached[0].plan)
    return Refitted(trials=plan.refits or {}, share=1 - row.spec.cv.holdout)


def _best(connection: Connection, rows: Sequence[SearchRow]) -> dict[str, TrialView]:
    """Find the best trial of each search that has one: the first in its ranking."""
    found = ranking.best_of(connection, [row.id for row in rows])
    ranked = [(row, found[row.id], 1) for row in rows if row.id in found]
    return {row.id: seen for (row, _, _), seen in zip(ranked, trial_views(connection, ranked), strict=True)}


def _counts(counted: Sequence[Tally]) -> dict[TrialState, int]:
    """Count the trials of a search by state; states without trials are absent."""
    counts: dict[TrialState, int] = {}
    for tally in counted:
        counts[tally.state] = counts.get(tally.state, 0) + tally.n
    return counts


def _stage_view(stage: StageRow, counted: Sequence[Tally]) -> StageView:
    plan = StagePlan.model_validate(stage.plan)
    return StageView(
        stage=stage.stage,
        epochs=plan.epochs,
        trials=stage.n_planned if stage.n_trials is None else stage.n_trials,
        finished=sum(t.n for t in counted if t.stage == stage.stage and t.state in ENDED),
        space=plan.space,
        borders=stage.findings,
    )
