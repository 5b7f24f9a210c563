"""Use case: say how far searches are, cheaply enough to be asked several times a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from foldstep.service.contract.leaderboard import Activity, Leading, SearchProgress
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.db import leases, paces, tallies
from foldstep.service.db.paces import Pace
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.db.tallies import ENDED, Running, Tally
from foldstep.service.flow.context import Context
from foldstep.service.planner.racing import n_first_folds
from foldstep.service.planner.rungs import share_expected

_RECENT_REPORTS = 5
"""The pace of a search is that of now as long as its last report is not older than this many report intervals."""
_TRAINS = (TrialState.WAITING, TrialState.RUNNING, TrialState.PAUSED)


@dataclass(frozen=True)
class _Facts:
    """All that the progress of one search follows from.

    Attributes:
        pace: None where nothing was reported for a while.
        is_checking: whether a worker holds the lease for the checks.
        is_proposing: whether this master chooses the next trials.
        n_first: trials in training that have not reached their first rung.
    """

    search: SearchRow
    stages: Sequence[StageRow]
    tallies: Sequence[Tally]
    pace: Pace | None
    leading: Running | None
    is_checking: bool
    is_proposing: bool
    n_first: int
    time_left_s: float | None

    def n(self, *states: TrialState) -> int:
        """Count the trials in some states."""
        return sum(tally.n for tally in self.tallies if tally.state in states)


def progress_of(
    connection: Connection,
    context: Context,
    rows: Sequence[SearchRow],
    reached: Mapping[str, Sequence[StageRow]],
    counted: Mapping[str, Sequence[Tally]],
) -> dict[str, SearchProgress]:
    """Work out the progress of searches; the number of queries is the same for one as for many.

    Args:
        connection: to the database.
        context: of the master.
        rows: the searches.
        reached: the stages that each has reached.
        counted: the counts of the trials of each.
    """
    ids, now = [row.id for row in rows], context.now()
    since = now - timedelta(seconds=_RECENT_REPORTS * context.settings.report_interval_s)
    paced = {id_: pace for id_, pace in paces.of_searches(connection, ids).items() if pace.reported_at >= since}
    leading = _leading(rows, tallies.extremes(connection, ids))
    checked = leases.with_checks(connection, [row.id for row in rows if row.awaits_checks])
    first = tallies.n_at_first_rung(connection, [row.id for row in rows if _races(row)])
    facts = [
        _Facts(
            search=row,
            stages=reached[row.id],
            tallies=counted[row.id],
            pace=paced.get(row.id),
            leading=leading.get(row.id),
            is_checking=row.id in checked,
            is_proposing=row.id in context.proposing.searches,
            n_first=first.get(row.id, 0),
            time_left_s=row.time_left_s(now),
        )
        for row in rows
    ]
    return {f.search.id: _progress(f) for f in facts}


def _races(search: SearchRow) -> bool:
    rules = search.spec.early_stop
    return rules is not None and rules.race_folds and not search.is_over and search.problem.n_folds > 1


def _leading(rows: Sequence[SearchRow], running: Sequence[Running]) -> dict[str, Running]:
    """Choose the better end of each search's scores in training."""
    directions = {row.id: row.direction for row in rows}
    found: dict[str, Running] = {}
    for one in running:
        other = found.get(one.search_id)
        if other is None or directions[one.search_id].is_better(one.progress, than=other.progress):
            found[one.search_id] = one
    return found


def _progress(facts: _Facts) -> SearchProgress:
    search, activity = facts.search, _activity(facts)
    trained = sum(tally.trained for tally in facts.tallies)
    left = 0 if search.is_over else _epochs_left(facts)
    n_ended = facts.n(*ENDED)
    pace = None if search.is_over else facts.pace
    leading = facts.leading
    return SearchProgress(
        activity=activity,
        epochs_done=trained,
        epochs_planned=None if left is None else trained + round(left),
        trials_done=n_ended,
        trials_planned=n_ended if search.is_over else n_trials(search, facts.stages),
        stopped_early=facts.n(TrialState.PRUNED),
        diverged=facts.n(TrialState.DIVERGED),
        failed=facts.n(TrialState.FAILED),
        members=_members(facts),
        member_steps_per_s=None if pace is None else pace.member_steps_per_s or None,
        time_left_s=None if pace is None else _time_left_s(pace, left, facts.time_left_s),
        leading=None if leading is None else Leading(trial=leading.number, score=leading.progress),
    )


def _activity(facts: _Facts) -> Activity:
    search = facts.search
    if search.is_over:
        return "ended"
    if search.state is SearchState.PAUSED and not facts.n(TrialState.RUNNING):
        return "paused"
    if search.awaits_checks:
        return "checking" if facts.is_checking else "waiting"
    if facts.n(TrialState.RUNNING) or facts.pace is not None:
        return "training" if any(tally.trained for tally in facts.tallies) else "starting"
    return "proposing" if facts.is_proposing and not facts.n(*_TRAINS) else "waiting"


def _members(facts: _Facts) -> int:
    """Count the networks in training; until their first rung trials of a race train on the first folds alone."""
    n_folds = facts.search.problem.n_folds
    n_first = facts.n_first if _races(facts.search) else 0
    return (facts.n(TrialState.RUNNING) - n_first) * n_folds + n_first * n_first_folds(n_folds)


def n_trials(search: SearchRow, reached: Sequence[StageRow]) -> int | None:
    """Count the trials of the stages that were reached and of those to come; None for no limit."""
    numbers = [stage.n_trials for stage in reached]
    if search.n_stages > len(reached):
        numbers += [stage.trials for stage in search.spec.planned_stages()[len(reached) :]]
    known = [n for n in numbers if n is not None]
    return sum(known) if len(known) == len(numbers) else None


def _epochs_left(facts: _Facts) -> float | None:
    """Compute the epochs that are still to be trained; None where the number of trials has no limit."""
    search = facts.search
    left = 0.0
    for stage in facts.stages:
        if stage.left is None:
            return None
        own = [tally for tally in facts.tallies if tally.stage == stage.stage]
        epochs = _epochs_each(search, stage, own)
        waiting = sum(t.epochs - t.trained for t in own if t.state in _TRAINS)
        left += _share(search, epochs) * (waiting + stage.left * epochs)
    if search.n_stages > len(facts.stages):
        coming = search.spec.planned_stages()[len(facts.stages) :]
        left += sum(_share(search, stage.epochs) * stage.trials * stage.epochs for stage in coming)
    return max(left, 0.0)


def _epochs_each(search: SearchRow, stage: StageRow, own: Sequence[Tally]) -> float:
    """Find the epochs of a stage's trials: those of the stage, else the mean of those planned, else the default."""
    epochs = StagePlan.model_validate(stage.plan).epochs
    n = sum(tally.n for tally in own)
    if epochs is not None:
        return epochs
    return sum(tally.epochs for tally in own) / n if n else search.spec.default_epochs()


def _share(search: SearchRow, epochs: float) -> float:
    """Compute the share of a trial's epochs that it trains on average, with the search's rules for early stopping."""
    rules = search.spec.early_stop
    return 1.0 if rules is None else share_expected(rules, max(round(epochs), 1))


def _time_left_s(pace: Pace, epochs_left: float | None, budget_left_s: float | None) -> float | None:
    """Estimate the seconds to the end, from the pace of the last reports; at most what the time budget leaves."""
    rate = pace.epochs_per_s
    estimate = epochs_left / rate if epochs_left is not None and rate else None
    known = [seconds for seconds in (estimate, budget_left_s) if seconds is not None]
    return min(known, default=None)
