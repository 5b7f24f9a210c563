"""Use cases: show searches and workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from foldstep.service.contract.leaderboard import BorderFinding, SearchView, StageView, TrialView, WorkerView
from foldstep.service.contract.stage import StagePlan
from foldstep.service.db import leases, ranking, searches, stages, trials, workers
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.files import checkpoint_folder
from foldstep.service.flow.rank import trial_views

MAX_SEARCHES = 200


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


def all_searches(context: Context, limit: int = MAX_SEARCHES) -> list[SearchView]:
    """List the last searches, the newest first."""
    with context.database.read() as connection:
        return _views(connection, context, searches.newest(connection, limit))


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


def all_workers(context: Context) -> list[WorkerView]:
    """List the workers that were seen in the last ten lease times."""
    now, lease_time = context.now(), timedelta(seconds=context.settings.lease_ttl_s)
    with context.database.read() as connection:
        return workers.seen_since(connection, now - 10 * lease_time, now - lease_time)


def _views(connection: Connection, context: Context, rows: Sequence[SearchRow]) -> list[SearchView]:
    """Make the views of searches; the number of queries is the same for one as for many."""
    ids = [row.id for row in rows]
    counts = trials.counts(connection, ids)
    best = _best(connection, rows)
    since = context.now() - timedelta(seconds=5 * context.settings.report_interval_s)
    rates = leases.member_steps_per_s(connection, since)
    reached, finished = stages.of_searches(connection, ids), stages.n_finished(connection, ids)
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
            trials=_n_trials(row, reached[row.id]),
            counts=counts[row.id],
            n_folds=row.problem.n_folds,
            best=best.get(row.id),
            member_steps_per_s=rates.get(row.id),
            notes=[*row.notes, *([row.failure] if row.failure else [])],
            checks=row.checks,
            checkpoint_dir=str(checkpoint_folder(context.settings, row.id).absolute()),
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            stages=[_stage_view(stage, finished.get((row.id, stage.stage), 0)) for stage in reached[row.id]],
        )
        for row in rows
    ]


def _best(connection: Connection, rows: Sequence[SearchRow]) -> dict[str, TrialView]:
    """Find the best trial of each search that has one: the first in its ranking."""
    found = ranking.best_of(connection, [row.id for row in rows])
    ranked = [(row, found[row.id], 1) for row in rows if row.id in found]
    return {row.id: seen for (row, _, _), seen in zip(ranked, trial_views(connection, ranked), strict=True)}


def _n_trials(row: SearchRow, reached: Sequence[StageRow]) -> int | None:
    """Count the trials of the stages that were reached and of those to come; None for no limit."""
    numbers = [stage.n_trials for stage in reached]
    if row.n_stages > len(reached):
        numbers += [stage.trials for stage in row.spec.planned_stages()[len(reached) :]]
    known = [n for n in numbers if n is not None]
    return sum(known) if len(known) == len(numbers) else None


def _stage_view(stage: StageRow, n_finished: int) -> StageView:
    plan = StagePlan.model_validate(stage.plan)
    return StageView(
        stage=stage.stage,
        epochs=plan.epochs,
        trials=stage.n_planned if stage.n_trials is None else stage.n_trials,
        finished=n_finished,
        space=plan.space,
        borders=stage.findings,
    )
