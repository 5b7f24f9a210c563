"""Use cases: estimate which hyperparameters matter in a search, and compare the choices of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from foldstep.service.analysis.child import report_in_child
from foldstep.service.analysis.compare import compare as compare_records
from foldstep.service.analysis.table import subject_stage
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.insight import Comparison, ImportanceReport
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TERMINAL_TRIAL, TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.data.allowance import limits_to_compute
from foldstep.service.db import counts, searches, stages, trials
from foldstep.service.flow.context import Context

T = TypeVar("T")
MOST_TRIALS = 20_000
"""Trials that are analysed at most: of more, each second, third and so on by number, which is as good as at random."""
MANY = 2_000
"""Trials of a search from which on an analysis is done in the background, while the last one is shown."""


class _Subject(NamedTuple):
    """What is analysed: a stage of a search.

    Attributes:
        adaptive: whether the search's method learns from results.
        every: 1, or how many trials each one stands for.
    """

    metric: MetricSpec
    stage: int
    space: Space
    records: list[TrialRecord]
    adaptive: bool
    every: int


def importance(context: Context, search_id: str) -> ImportanceReport:
    """Estimate which hyperparameters matter and how, and what follows for each.

    Raises:
        NotFound: there is no such search.
        Unavailable: the analysis could not be run.
    """
    return _kept(context, search_id, "importance", lambda: _importance(context, search_id))


def compare(context: Context, search_id: str, by: str) -> Comparison:
    """Compare the choices of one hyperparameter, each with the other hyperparameters at their best.

    Raises:
        NotFound: there is no such search.
        InvalidInput: the search does not vary that hyperparameter.
    """
    return _kept(context, search_id, f"compare {by}", lambda: _compare(context, search_id, by))


def _kept(context: Context, search_id: str, question: str, compute: Callable[[], T]) -> T:
    """Give the answer to a question about the trials of a search that have ended by now."""
    with context.database.read() as connection:
        searches.get(connection, search_id)
        version = counts.version(connection, search_id)
        n_trials = sum(counts.by_state(connection, search_id).values())
    return context.answers.get((search_id, question), version, compute, may_be_older=n_trials > MANY)


def _importance(context: Context, search_id: str) -> ImportanceReport:
    metric, stage, space, records, adaptive, every = _subject(context, search_id)
    ended = [r for r in records if r.state in TERMINAL_TRIAL]
    limits = limits_to_compute(context.settings)
    found = report_in_child(search_id, metric, stage, space, ended, adaptive=adaptive, limits=limits)
    return found.model_copy(update={"notes": [*found.notes, *_left_out(ended), *_thinned(every)]})


def _compare(context: Context, search_id: str, by: str) -> Comparison:
    metric, _, space, records, adaptive, every = _subject(context, search_id)
    searched = space.searched()
    if by not in searched:
        near = nearest(by, searched)
        hint = f"did you mean {near}?" if near else f"it varies {', '.join(searched) or 'nothing'}"
        expected = "a hyperparameter that the search varies"
        fault = Fault(code="not_searched", path="by", expected=expected, got=by, hint=hint)
        raise InvalidInput(f"There is nothing to compare: {fault}.", faults=[fault])
    found = compare_records(search_id, metric, by, space, records, adaptive=adaptive)
    return found.model_copy(update={"sentence": " ".join([found.sentence, *_left_out(records), *_thinned(every)])})


def _thinned(every: int) -> list[str]:
    """Say that not all trials were looked at."""
    return [] if every == 1 else [f"The search has so many trials that only those were analysed whose number {every} "
                                  "divides."]  # fmt: skip


def _left_out(records: Sequence[TrialRecord]) -> list[str]:
    """Say how many trials are left out because their metric is undefined."""
    n = sum(record.state is TrialState.UNDEFINED for record in records)
    what = "1 trial is left out: its" if n == 1 else f"{n} trials are left out: their"
    return [f"{what} metric is undefined (`foldstep show` says why)."] if n else []


def _subject(context: Context, search_id: str) -> _Subject:
    """Find what is analysed of a search: one of its stages."""
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        plans = [StagePlan.model_validate(row.plan) for row in stages.of_searches(connection, [search_id])[search_id]]
        every = math.ceil(sum(counts.by_state(connection, search_id).values()) / MOST_TRIALS) or 1
        records = trials.history(connection, search_id, every=every)
    by_stage = [[r for r in records if r.stage == plan.index] for plan in plans]
    number = subject_stage(by_stage)
    adaptive = METHODS[search.spec.method].learns
    return _Subject(search.metric, number, plans[number].space, by_stage[number], adaptive, every)
