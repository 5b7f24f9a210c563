"""Use case: propose the next batch of a search that learns from its results, when all planned trials have ended.

A model may take seconds, in which no report may wait: the history is read, the batch is proposed outside of any
transaction, and it is stored only if no other was stored meanwhile. Two masters may propose the same batch: they get
the same trials, and one of them stores them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from prometheus_client import Histogram
from sqlalchemy import Connection

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.logs import about
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchEvent, SearchState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.data.allowance import limits_to_compute
from foldstep.service.db import searches, stages, trials
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import Ending, end
from foldstep.service.flow.measures import timed
from foldstep.service.flow.plan import store
from foldstep.service.flow.prune import clean_up
from foldstep.service.planner.base import Proposals
from foldstep.service.planner.child import ProposingFailed
from foldstep.service.planner.stages import make_planner

A_WHOLE_BATCH = 2**31  # number of trials to ask a planner for: it answers with one batch


class _Boundary(NamedTuple):
    """A search of which every planned trial has ended, so that its next batch is due."""

    search: SearchRow
    stage: StageRow
    history: Sequence[TrialRecord]


def propose(context: Context, search_id: str) -> None:
    """Propose the next batch of a search, if its method learns and one is due; a second call meanwhile does nothing."""
    with alone(context, search_id) as is_alone:
        if not is_alone:
            return
        with context.database.read() as connection:
            boundary = _boundary(connection, search_id, context.now())
        if boundary is None:
            return
        limits = limits_to_compute(context.settings)
        planner = make_planner(boundary.search.spec, StagePlan.model_validate(boundary.stage.plan), limits)
        try:
            with about(search=search_id), timed(_seconds(context, boundary.search)):
                proposals = planner.suggest(boundary.stage.n_planned, A_WHOLE_BATCH, boundary.history)
        except ProposingFailed as failure:
            _fail(context, search_id, f"The method {boundary.search.spec.method} could not continue: {failure}")
            return
        _store(context, boundary, proposals)


def _seconds(context: Context, search: SearchRow) -> Histogram:
    return context.measures.planner_seconds.labels(search.spec.method)


@contextmanager
def alone(context: Context, search_id: str) -> Iterator[bool]:
    """Yield whether this is the only thread of this master that chooses trials of the search; never wait."""
    with context.proposing.lock:
        is_alone = search_id not in context.proposing.searches
        context.proposing.searches.add(search_id)
    try:
        yield is_alone
    finally:
        if is_alone:
            context.proposing.searches.discard(search_id)


def _boundary(connection: Connection, search_id: str, now: datetime) -> _Boundary | None:
    search = _open(connection, search_id)
    if search is None or not METHODS[search.spec.method].learns:
        return None
    if search.awaits_checks or search.time_left_s(now) == 0:
        return None
    stage = stages.get(connection, search_id, search.stage)
    if stage.left == 0 or trials.any_open(connection, search_id):
        return None
    return _Boundary(search, stage, trials.history(connection, search_id, stage.stage))


def _store(context: Context, boundary: _Boundary, proposals: Proposals) -> None:
    with context.database.write() as connection:
        search = _open(connection, boundary.search.id, locked=True)
        if search is not None and search.stage == boundary.stage.stage:
            store(connection, search, boundary.stage, proposals, context.now())


def _fail(context: Context, search_id: str, failure: str) -> None:
    with context.database.write() as connection:
        search = _open(connection, search_id, locked=True)
        if search is None:
            return
        end(connection, search, Ending(SearchEvent.FAIL, failure=failure), context.now())
        search = searches.get(connection, search_id)
    clean_up(context, search)


def _open(connection: Connection, search_id: str, *, locked: bool = False) -> SearchRow | None:
    """Find the search; None if it leases no work, or was deleted."""
    try:
        search = (searches.lock if locked else searches.get)(connection, search_id)
    except NotFound:
        return None
    return search if search.state in (SearchState.QUEUED, SearchState.RUNNING) else None
