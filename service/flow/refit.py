"""Use case: choose the trials that a refit trains, once the search that it follows has chosen its ensemble.

The choice takes seconds, so it is made outside of any transaction, when a worker first asks for trials of the refit.
Two masters choose the same trials, and one of them stores them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from foldstep.service.contract.errors import NotFound, Unavailable
from foldstep.service.contract.final import REFIT
from foldstep.service.contract.space import Params
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchEvent
from foldstep.service.contract.written import written
from foldstep.service.db import ranking, searches, stages
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.ensemble import ensemble
from foldstep.service.flow.finish import Ending, end
from foldstep.service.flow.follow import of_configurations, plan_of
from foldstep.service.flow.propose import alone
from foldstep.service.flow.prune import clean_up


class _Chosen(NamedTuple):
    """What a refit trains: configurations, and of each trial that predicts the place of its own, see `Refitted`."""

    configurations: list[Params]
    places: dict[int, int]


def plan_refit(context: Context, search_id: str) -> bool:
    """Choose the trials of a search, if it is a refit that has none; tell whether it may be planned and trained.

    A refit waits while the search that it follows goes on again, since that may choose others.
    """
    with context.database.read() as connection:
        search = _unplanned(connection, search_id)
        first = None if search is None or search.follows is None else searches.find(connection, search.follows)
    if search is None:
        return True
    if first is None:
        return _fail(context, search_id, "The search that it refits was deleted.")
    if not first.is_over:
        return False
    with alone(context, search_id) as is_alone:
        return is_alone and _plan(context, search_id, first)


def _plan(context: Context, search_id: str, first: SearchRow) -> bool:
    try:
        chosen = _choose(context, first)
    except (NotFound, Unavailable) as error:
        return _fail(context, search_id, f"The trials to refit could not be chosen: {error.message}")
    return _store(context, search_id, chosen)


def _unplanned(connection: Connection, search_id: str) -> SearchRow | None:
    """Find the search, if it is a refit without trials."""
    try:
        search = searches.get(connection, search_id)
    except NotFound:
        return None
    return None if search.purpose != REFIT or _is_planned(_stage(connection, search)) else search


def _stage(connection: Connection, search: SearchRow) -> StageRow:
    return stages.get(connection, search.id, search.stage)


def _is_planned(stage: StageRow) -> bool:
    return StagePlan.model_validate(stage.plan).refits is not None


def _choose(context: Context, first: SearchRow) -> _Chosen:
    """Take the trials of the ensemble, or the best one where there is none; two with equal values are trained once."""
    found = ensemble(context, first.id)
    with context.database.read() as connection:
        if found is None:
            rows = ranking.scored(connection, first.id, None, 1)
        else:
            rows = [ranking.get(connection, first.id, member.trial) for member in found.members]
    return _distinct([(row.number, row.params) for row in rows])


def _distinct(numbered: Sequence[tuple[int, Params]]) -> _Chosen:
    chosen = _Chosen([], {})
    for number, params in numbered:
        if params not in chosen.configurations:
            chosen.configurations.append(params)
        chosen.places[number] = chosen.configurations.index(params)
    return chosen


def _store(context: Context, search_id: str, chosen: _Chosen) -> bool:
    with context.database.write() as connection:
        try:
            search = searches.lock(connection, search_id)
        except NotFound:
            return False
        stage = _stage(connection, search)
        if not _is_planned(stage):
            spec = of_configurations(search.spec, chosen.configurations)
            plan = plan_of(spec, chosen.configurations).model_copy(update={"refits": chosen.places})
            searches.set_spec(connection, search_id, spec, written(spec))
            stages.enlarge(connection, stage, plan.model_dump(mode="json"), len(chosen.configurations))
    return True


def _fail(context: Context, search_id: str, failure: str) -> bool:
    with context.database.write() as connection:
        try:
            search = searches.lock(connection, search_id)
        except NotFound:
            return False
        if search.is_over:
            return False
        end(connection, search, Ending(SearchEvent.FAIL, failure=failure), context.now())
        search = searches.get(connection, search_id)
    clean_up(context, search)
    return False
