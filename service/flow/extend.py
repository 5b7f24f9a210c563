"""Use case: a user gives a search more trials or more time; it may be completed already."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NoReturn

from sqlalchemy import Connection

from foldstep.service.contract.errors import Conflict, Fault, InvalidInput, KeyReused
from foldstep.service.contract.spec import Spec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchEvent, SearchState
from foldstep.service.contract.submit import Extension
from foldstep.service.db import searches, stages, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import has_reached_target, settle
from foldstep.service.flow.prune import clean_up
from foldstep.service.planner.stages import n_possible

ELSEWHERE = "submit a new search with warm_start: {}, which begins with the best trials of this one"


def extend(context: Context, search_id: str, extension: Extension, key: str | None = None) -> None:
    """Enlarge the budget of a search; a completed one resumes where it ended.

    Args:
        context: of the master.
        search_id: the search.
        extension: how much is added.
        key: the same one again changes nothing, so that a client may repeat a request whose answer was lost.

    Raises:
        KeyReused: the last extension had the key, and was another one.
        NotFound: there is no such search.
        InvalidInput: neither trials nor time are given.
        Conflict: it has reached its target, its space or its stages have no more trials, or its time stays used up.
        IllegalTransition: it was stopped, or failed.
    """
    if extension.trials is None and extension.time is None:
        fault = Fault(code="missing", path="trials", expected="more trials, more time, or both")
        raise InvalidInput(f"Nothing to extend by: {fault}.", faults=[fault])
    now = context.now()
    with context.database.write() as connection:
        search = searches.lock(connection, search_id)
        if key is not None and _is_done(connection, search_id, extension, key):
            return
        _refuse_what_ends_at_once(connection, search, extension)
        if extension.trials is not None:
            _add_trials(connection, search, extension.trials)
        searches.set_budget(connection, search_id, *_budget(search, extension, now))
        if search.is_over:
            searches.move(connection, search_id, SearchEvent.EXTEND, finished_at=None)
            trials.reopen(connection, search_id)
        search = settle(connection, searches.get(connection, search_id), now)
    clean_up(context, search)


def _is_done(connection: Connection, search_id: str, extension: Extension, key: str) -> bool:
    """Tell whether a locked search was extended under this key before, and remember the key if not."""
    this = {"key": key, **extension.model_dump(mode="json")}
    before = searches.extended(connection, search_id)
    if before == this:
        return True
    if before.get("key") == key:
        raise KeyReused(
            f"The search {search_id} was extended by something else under the Idempotency-Key {key}; "
            "send a new key with each extension."
        )
    searches.set_extended(connection, search_id, this)
    return False


def refuse_change(context: Context, search_id: str) -> NoReturn:
    """Refuse to change the spec of a search, and say what to do instead.

    Raises:
        NotFound: there is no such search.
        Conflict: always otherwise.
    """
    with context.database.read() as connection:
        searches.get(connection, search_id)
    raise Conflict(
        f"The spec of a search does not change, for its trials would not be comparable: to search another space, "
        f"{ELSEWHERE.format(search_id)}; for more trials or time, extend it."
    )


def _refuse_what_ends_at_once(connection: Connection, search: SearchRow, extension: Extension) -> None:
    if has_reached_target(connection, search):
        elsewhere = ELSEWHERE.format(search.id)
        raise Conflict(f"The search {search.id} has reached its target; to go beyond it, {elsewhere}.")
    if search.state is not SearchState.COMPLETED or extension.time is not None or search.deadline_at is None:
        return
    assert search.finished_at is not None
    if search.finished_at >= search.deadline_at:
        raise Conflict(f"The time of the search {search.id} is used up: extend its time, too (--time).")


def _add_trials(connection: Connection, search: SearchRow, n_more: int) -> None:
    stage = stages.get(connection, search.id, search.stage)
    if search.stage + 1 < search.n_stages:
        raise Conflict(
            f"The search {search.id} is in stage {search.stage + 1} of {search.n_stages}, and what the next ones "
            f"train is fixed: extend it in its last stage, or {ELSEWHERE.format(search.id)}."
        )
    plan = StagePlan.model_validate(stage.plan)
    n_trials = _n_trials(search, stage, n_more)
    larger = plan.model_copy(update={"trials": n_trials})
    stages.enlarge(connection, stage, larger.model_dump(mode="json"), n_trials)


def _n_trials(search: SearchRow, stage: StageRow, n_more: int) -> int:
    """Compute the number of trials of the enlarged stage, at most the number of points of its space."""
    if stage.n_trials is None:
        raise Conflict(f"The search {search.id} has no limit of trials; extend its time instead (--time).")
    possible = n_possible(search.spec)
    if possible is not None and stage.n_trials >= possible:
        raise Conflict(
            f"The space of the search {search.id} is exhausted: all of its {possible} points are planned; to search "
            f"another one, {ELSEWHERE.format(search.id)}."
        )
    return min(stage.n_trials + n_more, possible or stage.n_trials + n_more)


def _budget(search: SearchRow, extension: Extension, now: datetime) -> tuple[Spec, datetime | None]:
    """Compute the spec with the larger budget, and when its time is then used up."""
    budget, deadline_at = search.spec.budget, search.deadline_at
    changes: dict[str, object] = {}
    if extension.trials is not None and budget.trials is not None:
        changes["trials"] = budget.trials + extension.trials
    if extension.time is not None and budget.time is not None:
        changes["time"] = budget.time + extension.time
    if deadline_at is not None:
        idle = now - search.finished_at if search.finished_at is not None else timedelta()
        deadline_at += idle + timedelta(seconds=extension.time or 0)
    return search.spec.model_copy(update={"budget": budget.model_copy(update=changes)}), deadline_at
