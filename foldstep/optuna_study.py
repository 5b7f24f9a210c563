"""A search as an Optuna study: parameters, distributions, states, intermediate values and scores."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as StudyState
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from foldstep.client import Foldstep
from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.errors import Conflict, Fault, InvalidInput
from foldstep.service.contract.leaderboard import SearchView, StageView, TrialView
from foldstep.service.contract.report import Curve
from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, FloatRange, IntRange
from foldstep.service.contract.states import TrialState

STATES: Mapping[TrialState, StudyState] = {
    TrialState.COMPLETED: StudyState.COMPLETE,
    TrialState.PRUNED: StudyState.PRUNED,
    TrialState.DIVERGED: StudyState.FAIL,
    TrialState.UNDEFINED: StudyState.FAIL,
    TrialState.FAILED: StudyState.FAIL,
    TrialState.CANCELLED: StudyState.FAIL,
}
"""Optuna's state for each state in which a trial has ended; trials in other states are left out."""


def write_study(master: Foldstep, search_id: str, storage: str) -> int:
    """Write a search into an Optuna storage as a study named by the search's id.

    Args:
        master: where the search is.
        search_id: the search.
        storage: URL of a database, in Optuna's form.

    Returns:
        How many trials the study has.

    Raises:
        NotFound: there is no such search.
        Conflict: the storage has a study of that name already.
        InvalidInput: the storage cannot be used.
    """
    search = master.search(search_id)
    ended = [t for t in master.all_trials(search_id, order_by="number") if t.state in STATES]
    trials = [_trial(search, t, master.curves(search_id, t.trial).curves) for t in ended]
    with _quiet(), named_faults(search_id, storage, "written"):
        study = optuna.create_study(storage=storage, study_name=search_id, direction=search.metric.direction.value)
        study.set_user_attr("foldstep", search.model_dump(mode="json", include={"name", "method", "metric", "task"}))
        study.add_trials(trials)
    return len(trials)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


@contextlib.contextmanager
def named_faults(study: str, storage: str, done: str) -> Iterator[None]:
    """Refuse a storage that cannot be used in one sentence; `done` is what was tried, as `written`."""
    try:
        yield
    except optuna.exceptions.DuplicatedStudyError:
        raise Conflict(f"{storage} has a study {study} already; name another database, or delete the study.") from None
    except (ArgumentError, SQLAlchemyError, ImportError, ValueError) as error:
        fault = Fault(code="bad_storage", path="optuna", expected="a database such as sqlite:///study.db", got=storage)
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"The study cannot be {done}: {fault} ({reason}).", faults=[fault]) from None


def _trial(search: SearchView, trial: TrialView, curves: Mapping[int, Curve]) -> FrozenTrial:
    stage = next(s for s in search.stages if s.stage == trial.stage)
    names = [n for n in stage.space.searched() if n in trial.params]
    state = STATES[trial.state]
    has_value = state in (StudyState.COMPLETE, StudyState.PRUNED) and trial.score is not None
    frozen = optuna.trial.create_trial(
        state=state,
        value=trial.score if has_value else None,
        params={n: _plain(trial.params[n]) for n in names},
        distributions={n: _distribution(n, trial.params[n], search.stages) for n in names},
        intermediate_values=_intermediate(list(curves.values())),
        user_attrs=_attributes(trial),
    )
    frozen.datetime_start, frozen.datetime_complete = _local(trial.created_at), _local(trial.finished_at)
    return frozen


def _attributes(trial: TrialView) -> dict[str, Any]:
    told = {"foldstep_trial": trial.trial, "state": trial.state.value, "stage": trial.stage, "folds": trial.folds}
    fixed = {"params": dict(trial.params), "spread": trial.spread, "message": trial.message}
    return {**told, **fixed}


def _local(time: Any) -> Any:
    """Convert a time to local time without a zone, as Optuna stores it."""
    return None if time is None else time.astimezone().replace(tzinfo=None)


def _intermediate(curves: Sequence[Curve]) -> dict[int, float]:
    """Compute the mean score over the folds for each epoch in which every fold has a finite score."""
    values = {}
    for epoch, scores in enumerate(zip(*(c.score for c in curves), strict=False), start=1):
        known = [s for s in scores if s is not None and math.isfinite(s)]
        if known and len(known) == len(scores):
            values[epoch] = fmean(known)
    return values


def _plain(value: Value) -> Any:
    """Convert a value to one that Optuna can store: lists and mappings become JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def _distribution(name: str, value: Value, stages: Sequence[StageView]) -> BaseDistribution:
    """Build one distribution that covers a hyperparameter's ranges in all stages and the value of this trial."""
    found = [s.space.parameters[name] for s in stages if name in s.space.parameters]
    eithers = [d for d in found if isinstance(d, Either)]
    ranges = [d for d in (*found, *(e.range for e in eithers)) if isinstance(d, FloatRange | IntRange)]
    if not ranges:
        return CategoricalDistribution(_choices(found))
    extra = [float(v) for either in eithers for v in either.extra]  # type: ignore[arg-type]
    low, high = min([*extra, *(d.low for d in ranges)]), max([*extra, *(d.high for d in ranges)])
    is_log = ranges[0].log and low > 0  # an extra value may be 0
    if isinstance(ranges[0], FloatRange):
        assert isinstance(value, float)
        return FloatDistribution(min(low, value), max(high, value), log=is_log)
    assert isinstance(value, int)
    return IntDistribution(int(min(low, value)), int(max(high, value)), log=is_log)


def _choices(found: Sequence[Distribution]) -> list[Any]:
    values: dict[Any, None] = {}
    for distribution in found:
        assert isinstance(distribution, Choices | Fixed)
        choices = [distribution.value] if isinstance(distribution, Fixed) else distribution.choices
        values |= dict.fromkeys(_plain(choice) for choice in choices)
    return list(values)
