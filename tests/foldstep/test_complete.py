"""Every mapping over a set of names has all of them: a new name is not shown, stored or exported as something else."""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

import pytest

from foldstep.display import OUTCOME_STYLE, STATE_STYLE
from foldstep.optuna_study import STATES
from foldstep.service.contract.checks import CheckOutcome
from foldstep.service.contract.report import Outcome
from foldstep.service.contract.spec import EarlyStopSpec
from foldstep.service.contract.states import TERMINAL_TRIAL, TRIAL_TRANSITIONS, SearchState, TrialState
from foldstep.service.db.ranking import REST
from foldstep.service.flow.report import EVENTS
from foldstep.service.planner.rungs import N_BRACKETS

WITH_RANK = {TrialState.COMPLETED}
NOT_SHOWN = {TrialState.WAITING}
TABLES: dict[str, tuple[Collection[object], Collection[object]]] = {
    "colours of searches": (STATE_STYLE, SearchState),
    "colours of checks": (OUTCOME_STYLE, get_args(CheckOutcome)),
    "states of an Optuna study": (STATES, TERMINAL_TRIAL),
    "order of trials without a rank": (REST, set(TrialState) - WITH_RANK - NOT_SHOWN),
    "events of outcomes": (EVENTS, set(get_args(Outcome)) - {"paused"}),
    "brackets of rungs": (N_BRACKETS, get_args(EarlyStopSpec.model_fields["rungs"].annotation)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_every_name(name: str) -> None:
    table, names = TABLES[name]
    assert set(table) == set(names)


def test_each_outcome_ends_a_trial() -> None:
    assert {TRIAL_TRANSITIONS[event][1] for event in EVENTS.values()} <= TERMINAL_TRIAL
