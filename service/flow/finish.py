"""Use case: end a search when its budget is used, its target reached, its space exhausted, or every trial failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.diagnose import diagnose
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.spec import DEFAULT_TRIALS
from foldstep.service.contract.states import SearchEvent, SearchState, TrialState
from foldstep.service.db import continued, counts, scores, searches, stages, trials, workers
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.follow import follow
from foldstep.service.flow.rungs import climb, close
from foldstep.service.flow.score import rank_key
from foldstep.service.flow.stage import go_on

ALL_DIVERGED = (
    "Every trial diverged, so there is no score: lower the upper bound of lr first, then look for values in the data "
    "that are far too large, or set scaler: standard."
)

TIME_TO_REPORT = timedelta(seconds=30)
"""How long the master waits for the last results after a time budget has ended; workers stop training at its end."""


@dataclass(frozen=True)
class Ending:
    """Why and how a search ends.

    Attributes:
        event: COMPLETE or FAIL.
        notes: what to tell the user.
        failure: the reason, where it fails.
    """

    event: SearchEvent
    notes: list[str] = field(default_factory=list)
    failure: str | None = None


def settle(connection: Connection, search: SearchRow, now: datetime) -> SearchRow:
    """End a locked search, or its stage, if that is due, and return the search as it then is."""
    if search.state is not SearchState.RUNNING:
        return search
    climb(connection, search, now)
    ending = _by_budget(connection, search, now)
    if ending is None and trials.any_open(connection, search.id):
        return search
    ending = ending or _by_stage(connection, search, now)
    if ending is not None:
        end(connection, search, ending, now)
    return searches.get(connection, search.id)


def settle_if_due(context: Context, search: SearchRow) -> SearchRow:
    """End a search that is not locked, or its stage, if that is due: the lock is only taken where it is.

    Two reports that end the last trials at the same time do not see each other's; so this comes after their commits.
    """
    now = context.now()
    if search.state is not SearchState.RUNNING:
        return search
    with context.database.read() as connection:
        is_due = _by_budget(connection, search, now) is not None or not trials.any_open(connection, search.id)
    if not is_due:
        return search
    with context.database.write() as connection:
        return settle(connection, searches.lock(connection, search.id), now)


def end(connection: Connection, search: SearchRow, ending: Ending, now: datetime) -> None:
    """End a locked search: open trials are cancelled, or pruned if they have reached a rung.

    The next report of a worker tells it to stop them.
    """
    close(connection, search, now)
    trials.cancel(connection, search.id, now)
    continued.forget_snapshots(connection, search.id)  # their files are deleted, even if it is extended later
    searches.move(connection, search.id, ending.event, finished_at=now, failure=ending.failure)
    searches.add_notes(connection, search, [*ending.notes, *_mixed_backends(connection, search)])
    if ending.event is SearchEvent.COMPLETE or search.follows is not None:  # one that fails hinders none after it
        follow(connection, searches.get(connection, search.id), now)


def _mixed_backends(connection: Connection, search: SearchRow) -> list[str]:
    """Write a note if workers of different kinds trained the search: its results then agree within rounding only."""
    kinds = {" ".join(kind) for kind in workers.backends(connection, search.id)}
    precision = search.spec.space.parameters.get("precision")
    if precision is None or not precision.contains("bfloat16"):
        kinds = {kind.removesuffix(" amx") for kind in kinds}  # it rounds only where it may
    if len(kinds) < 2:
        return []
    return [
        f"Workers of different kinds trained this search ({', '.join(sorted(kinds))}): their results agree within "
        "rounding, not to the bit; `foldstep doctor` says what a machine has and what it lacks."
    ]


def _by_budget(connection: Connection, search: SearchRow, now: datetime) -> Ending | None:
    budget = search.spec.budget
    if has_reached_target(connection, search):
        return Ending(SearchEvent.COMPLETE, [f"The target {search.metric.name} {search.metric.target:g} was reached."])
    if budget.failed is not None:
        n_failed = counts.n_in(connection, search.id, TrialState.FAILED)
        if n_failed >= budget.failed:
            return _failure(connection, search, f"{n_failed} trials failed, as many as the budget allows")
    if _is_time_over(connection, search, now):
        return Ending(SearchEvent.COMPLETE, ["The time budget is used up."])
    return None


def _is_time_over(connection: Connection, search: SearchRow, now: datetime) -> bool:
    if search.deadline_at is None or now < search.deadline_at:
        return False
    return now >= search.deadline_at + TIME_TO_REPORT or not counts.n_in(connection, search.id, TrialState.RUNNING)


def has_reached_target(connection: Connection, search: SearchRow) -> bool:
    """Tell whether a trial has reached the search's target score."""
    target = search.metric.target
    if target is None:
        return False
    best = trials.nth_best(connection, search.id, 1)
    return best is not None and best.rank_key <= rank_key(search, target)


def _by_stage(connection: Connection, search: SearchRow, now: datetime) -> Ending | None:
    stage = stages.get(connection, search.id, search.stage)
    if stage.left != 0 or go_on(connection, search, stage, now):
        return None
    by_state = counts.by_state(connection, search.id)
    if not trials.nth_best(connection, search.id, 1):
        notes = _why_no_score(connection, search, by_state)
        if notes:
            return Ending(SearchEvent.COMPLETE, notes)
        return _failure(connection, search, "every trial failed")
    return Ending(SearchEvent.COMPLETE, _exhaustion(search, sum(by_state.values())))


def _why_no_score(connection: Connection, search: SearchRow, by_state: Mapping[TrialState, int]) -> list[str]:
    """Say why no trial has a score; nothing where all failed, were cancelled or pruned."""
    n_undefined, n_diverged = by_state.get(TrialState.UNDEFINED, 0), by_state.get(TrialState.DIVERGED, 0)
    notes = []
    if n_undefined:
        said = trials.last_message(connection, search.id, TrialState.UNDEFINED)
        notes.append(
            f"No trial has a score: {search.metric.name} was undefined in {n_undefined}; the last said: {said}"
        )
    if n_diverged:
        all_of_them = ALL_DIVERGED if not n_undefined else _others(n_diverged)
        notes.append(f"{all_of_them}{_longest(connection, search)}")
    return notes


def _others(n_diverged: int) -> str:
    return "1 other trial diverged." if n_diverged == 1 else f"{n_diverged} other trials diverged."


def _longest(connection: Connection, search: SearchRow) -> str:
    """Describe the diverged trial that trained for the most epochs, the nearest to one that does not diverge."""
    number, params = trials.longest_diverged(connection, search.id)
    folds = scores.results(connection, search.id, number)
    if not folds:
        return ""
    hp = resolve(params, seed=search.spec.seed)
    return f" The one that lasted longest is trial {number} (lr {hp.lr:g}): {diagnose(hp, folds)[0].sentence}"


def _exhaustion(search: SearchRow, n_trials: int) -> list[str]:
    budget, method = search.spec.budget, METHODS[search.spec.method]
    can_end_early = method.learns or method.redraws
    if budget.trials is None and budget.time is not None and can_end_early:
        return [f"The space is exhausted: {_all_tried(n_trials)} before the time was used up."]
    asked = DEFAULT_TRIALS if budget.trials is None and can_end_early else budget.trials
    if asked is None or n_trials >= asked:
        return []
    points = "1 point" if n_trials == 1 else f"{n_trials} points"
    return [f"The space is exhausted: it has {points}, fewer than the {asked} trials of the budget."]


def _all_tried(n_trials: int) -> str:
    return "its only point was tried" if n_trials == 1 else f"each of its {n_trials} points was tried"


def _failure(connection: Connection, search: SearchRow, reason: str) -> Ending:
    message = trials.last_message(connection, search.id, TrialState.FAILED)
    return Ending(SearchEvent.FAIL, failure=f"{reason}; the last said: {message}")
