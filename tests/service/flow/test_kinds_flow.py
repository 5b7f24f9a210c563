"""How the search that trains an ensemble is begun and ended, with a worker that the test controls."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.service.contract.final import ENSEMBLE
from foldstep.service.contract.states import SearchState
from foldstep.service.contract.submit import Extension
from foldstep.service.db import searches
from foldstep.service.flow import control, rank, view, work
from foldstep.service.flow.context import Context
from foldstep.service.flow.ensemble_members import Members, trained_members
from foldstep.service.flow.extend import extend
from foldstep.service.flow.transfer import put_snapshot
from tests.service.flow.test_refit_flow import follower
from tests.service.scenes import Hand, new_search, result


def trained(context: Context, hand: Hand, kind: str, **changes: Any) -> str:
    """Run a search to its end: the trial with the number 1 is the best one."""
    final = {"ensemble": kind, **({} if kind == "averages" else {"members": 3})}
    search = new_search(context, **{"budget": {"trials": 3}, "final": final, **changes})
    for _ in range(3):
        held = hand.take(2)
        assert held.search == search
        hand.report(
            held, *(result(t.number, (0.5 + 0.2 * (t.number == 1),) * 2, checkpoints=True) for t in held.trials)
        )
        hand.release(held)
    return search


def members(context: Context, search: str) -> Members:
    with context.database.read() as connection:
        found = trained_members(connection, context, searches.get(connection, search))
    assert found is not None
    return found


def why(context: Context, search: str) -> tuple[str | None, bool]:
    given = members(context, search).given
    return given.why_alone, given.is_coming


def test_seeds_predict_once_they_are_trained(context: Context) -> None:
    hand = Hand(context)
    search = new_search(context, budget={"trials": 2}, final={"ensemble": "seeds", "members": 3, "reseed": {"top": 1}})
    hand.report(hand.take(2), result(0, (0.6, 0.6), checkpoints=True))
    assert why(context, search) == ("its ensemble is trained after its end", True)
    hand.report(hand.take(2), result(1, (0.7, 0.7), checkpoints=True))
    own = follower(context, search, ENSEMBLE)
    assert list(view.search(context, search).followers) == ["ensemble", "reseed"]
    assert (own.trials, own.n_folds, own.followers) == (2, 2, {})
    assert why(context, search) == (f"its ensemble {own.id} is queued", True)
    held = hand.take(4)
    best = rank.trial(context, search, 1).params
    assert [trial.params for trial in held.trials] == [{**best, "seed": seed} for seed in (1, 2)]
    # one that diverged has no part in it, which is said
    hand.report(held, result(0, (0.5, 0.5), checkpoints=True), result(1, (None, None), outcome="diverged"))
    found = members(context, search)
    assert [(c.search, c.trial, len(c.checkpoints)) for c in found.trials] == [(own.id, 0, 2)]
    assert found.given.words == "trial 1 and its configuration with 1 other seed"
    assert found.given.has_best
    assert found.given.notes == [
        f"1 trial has no networks in {own.id}, as where one diverged, and no part in the ensemble."
    ]
    assert follower(context, search, "reseed").state == "queued"
    # a better trial comes later: the ensemble is not of it
    extend(context, search, Extension(trials=1))
    hand.report(hand.take(2), result(2, (0.9, 0.9), checkpoints=True))
    assert why(context, search) == (f"its ensemble {own.id} is of another trial than the one that is the best by now",
                                    False)  # fmt: skip
    control.delete(context, own.id)
    assert why(context, search) == ("the search that trained its ensemble was deleted", False)


def test_checkpoints_are_stages_of_one_trial_that_continue(context: Context) -> None:
    hand = Hand(context)
    search = trained(context, hand, "checkpoints")
    own = follower(context, search, ENSEMBLE)
    assert own.n_stages == 3
    found = []
    for number in range(3):  # 30 epochs, in cycles of 10
        (trial,) = (held := hand.take()).trials
        found.append((trial.params["epochs"], trial.legs, trial.keep_snapshot, trial.own_epochs))
        assert trial.params["cycle_epochs"] == 10
        snapshots = {number: f"trial-{number:06d}.safetensors"} if number < 2 else {}
        for name in snapshots.values():
            put_snapshot(context, held.lease, held.token, name, b"state")
        hand.report(held, result(number, (0.7, 0.7), checkpoints=True, epochs=10 * number + 10), snapshots=snapshots)
        hand.release(held)
    assert found == [(10, [], True, True), (20, [10], True, True), (30, [10, 20], False, True)]
    assert follower(context, search, ENSEMBLE).state == "completed"
    assert work.work(context, own.id, 2).trial.own_epochs
    assert not work.work(context, search, 0).trial.own_epochs
    given = members(context, search).given
    assert given.words == "3 checkpoints of one run with the configuration of trial 1"
    assert not given.has_best


@pytest.mark.parametrize("name", ["ema_decay", "swa_start"])
def test_averages_that_the_best_trial_has_are_not_trained_again(context: Context, name: str) -> None:
    hand = Hand(context)
    search = trained(context, hand, "averages", parameters={"lr": [0.01, 0.02, 0.03], name: 0.5})
    assert view.search(context, search).followers == {"ensemble": None}
    said, is_coming = why(context, search)
    assert said is not None
    assert "averages already" in said
    assert not is_coming
    assert hand.try_take() is None


def test_of_a_stopped_search_or_a_failed_follower_the_best_predicts(context: Context) -> None:
    hand = Hand(context)
    search = trained(context, hand, "averages")
    own = follower(context, search, ENSEMBLE)
    assert own.trials == 1
    held = hand.take()
    assert held.trials[0].params["swa_start"] == 0.75
    hand.report(held, result(0, (), outcome="failed", message="no room"))
    assert why(context, search) == (f"its ensemble {own.id} is {SearchState.FAILED}", False)
    stopped = new_search(context, final={"ensemble": "seeds"}, name="stopped")
    hand.report(hand.take(2), result(0, (0.5, 0.5), checkpoints=True))
    control.stop(context, stopped)
    said, _ = why(context, stopped)
    assert said == "it is stopped, and an ensemble is trained only for a search that is completed"


def test_outer_folds_have_their_own_ensemble(context: Context) -> None:
    hand = Hand(context)
    search = new_search(context, budget={"trials": 1}, final={"ensemble": "averages"}, cv={"folds": 2, "outer": 2})
    purposes = []
    for _ in range(6):
        held = hand.take()
        purposes.append((held.search, view.search(context, held.search).purpose))
        hand.report(held, result(0, (0.5, 0.5), checkpoints=True))
        hand.release(held)
    assert [purpose for _, purpose in purposes] == [None, "ensemble", "outer-1", "ensemble", "outer-2", "ensemble"]
    assert [view.search(context, s).follows for s, _ in purposes[1::2]] == [s for s, _ in purposes[::2]]
    assert purposes[0][0] == search
    assert hand.try_take() is None
