"""Which trials say something of their hyperparameters: one rule for those that narrow and those that learn."""

from __future__ import annotations

import math

import pytest

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import TELLING, Evidence, judge
from foldstep.service.planner.observed import observe


def record(number: int, state: TrialState, score: float | None) -> TrialRecord:
    return TrialRecord(number=number, stage=0, state=state, params={"lr": float(number)}, score=score)


HISTORY = [
    record(6, TrialState.COMPLETED, 0.5),
    record(1, TrialState.PRUNED, 0.1),
    record(2, TrialState.DIVERGED, None),
    record(3, TrialState.FAILED, None),
    record(4, TrialState.CANCELLED, None),
    record(5, TrialState.RUNNING, 0.9),
    record(0, TrialState.COMPLETED, 0.8),
]


@pytest.mark.parametrize("direction", Direction)
def test_both_consumers_leave_failed_trials_out_and_put_diverged_ones_last(direction: Direction) -> None:
    evidence = Evidence.of(HISTORY)
    judged = judge(evidence, direction)
    observed = observe(evidence, ["lr"], 0, direction)
    assert sorted(t.number for t in judged) == [o.position for o in observed] == [0, 1, 2, 6]
    assert judged[-1].number == 2
    assert judged[-1].loss == math.inf
    worst = max(o.loss for o in observed)
    assert {o.position for o in observed if o.loss == worst} == {2, judged[-2].number}, (
        "as bad as the worst with a score"
    )
    assert judged[0].number == (0 if direction is Direction.MAXIMIZE else 1)


@pytest.mark.parametrize("state", sorted(set(TrialState) - TELLING))
def test_a_trial_that_says_nothing_is_refused(state: TrialState) -> None:
    with pytest.raises(ValueError, match=f"trial 7 is {state}"):
        Evidence((record(7, state, 0.5),))
