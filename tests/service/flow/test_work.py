"""The work of a trial that is trained again is that of the lease under which it was trained."""

from __future__ import annotations

import pytest

from foldstep.service.contract.errors import Conflict, NotFound
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.states import TrialState
from foldstep.service.flow import control, rank
from foldstep.service.flow.context import Context
from foldstep.service.flow.work import work
from tests.service.flow.test_continue import THREE, staged
from tests.service.flow.test_continue import work as train_stage
from tests.service.flow.test_rungs import rung_search
from tests.service.flow.test_rungs import trained as trained_to_rung
from tests.service.scenes import Hand, new_search, result


def again(trial: LeasedTrial) -> LeasedTrial:
    """A trial as it was leased, but for what saves epochs that were trained before."""
    return trial.model_copy(update={"attempt": 1, "resume": None, "keep_snapshot": False})


def assert_same(context: Context, search: str, held: Lease, trial: LeasedTrial) -> None:
    found = work(context, search, trial.number)
    assert (found.search, found.problem) == (held.search, held.problem)
    assert found.trial == again(trial)


def test_completed_and_diverged_trials_are_given_out_as_they_were_leased(context: Context) -> None:
    search, hand = new_search(context), Hand(context)
    hand.release(hand.take(4))
    held = hand.take(4)
    hand.report(held, result(0), result(1, (0.5, None), outcome="diverged"))
    for trial in held.trials:
        assert_same(context, search, held, trial)


def test_what_was_not_trained_is_refused(context: Context) -> None:
    search, hand = new_search(context), Hand(context)
    held = hand.take(4)
    hand.report(held, result(0, (), outcome="failed", message="out of luck"))
    hand.release(held)
    for number, state in ((0, "failed"), (1, "waiting")):
        with pytest.raises(Conflict, match=f"is {state}"):
            work(context, search, number)
    control.stop(context, search)
    with pytest.raises(Conflict, match="is cancelled"):
        work(context, search, 1)
    with pytest.raises(NotFound):
        work(context, search, 99)
    with pytest.raises(NotFound):
        work(context, "nobody", 0)


def test_a_trial_that_continues_others_has_their_legs(context: Context) -> None:
    search, hand = staged(context, THREE), Hand(context)
    train_stage(hand)
    train_stage(hand)
    held = hand.take(100)
    deepest = max(held.trials, key=lambda trial: len(trial.legs))
    assert deepest.legs == [1, 3]
    hand.report(held, result(deepest.number, epochs=9))
    assert_same(context, search, held, deepest)


@pytest.mark.parametrize(("rungs", "race_folds"), [("asha", False), ("none", True)])
def test_a_pruned_trial_ends_at_the_rung_and_with_the_folds_that_it_came_to(
    context: Context, rungs: str, race_folds: bool
) -> None:
    search, hand = rung_search(context, 20, rungs=rungs, race_folds=race_folds), Hand(context)
    last: dict[int, tuple[Lease, LeasedTrial]] = {}
    while (held := hand.try_take(100)) is not None:
        last |= {trial.number: (held, trial) for trial in held.trials}
        hand.report(held, *(trained_to_rung(trial) for trial in held.trials))
        hand.release(held)
    ended = {row.trial: row for row in rank.leaderboard(context, search).rows}
    pruned = [number for number, row in ended.items() if row.state is TrialState.PRUNED]
    assert any(last[number][1].folds is not None for number in pruned) == race_folds
    for number in pruned:
        assert_same(context, search, *last[number])


def test_the_other_folds_of_a_trial_that_diverged_on_its_way_to_a_rung_wait_there(context: Context) -> None:
    search, hand = rung_search(context, 9), Hand(context)
    held = hand.take(100)
    hand.report(held, *(trained_to_rung(trial) for trial in held.trials))
    hand.release(held)
    held = hand.take(100)
    trial = held.trials[0]
    assert trial.until == 3
    hand.report(held, result(trial.number, (0.5, None, 0.5), outcome="diverged"))
    assert_same(context, search, held, trial)
