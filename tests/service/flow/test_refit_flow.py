"""How a refit is begun, planned and ended, with a worker that the test controls; what it trains is in `test_refit`."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.service.contract.choice import choose, words_for
from foldstep.service.contract.errors import Conflict
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.submit import Extension
from foldstep.service.flow import control, finalize, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.extend import extend
from foldstep.service.flow.networks import OwnReader
from tests.service.scenes import Clock, Hand, new_search, result


def trained(context: Context, hand: Hand, **changes: Any) -> str:
    """Run a search with a refit to its end: the trial with the number 1 is the best one."""
    search = new_search(context, **{"budget": {"trials": 3}, "final": {"refit": {"seeds": 3}}, **changes})
    for _ in range(3):
        held = hand.take(2)
        assert held.search == search
        hand.report(held, *(result(t.number, (0.5 + 0.2 * (t.number == 1),) * 2) for t in held.trials))
        hand.release(held)
    return search


def follower(context: Context, search: str, purpose: str = "refit") -> SearchView:
    found = view.search(context, search).followers[purpose]
    assert found is not None
    return view.search(context, found)


def words(context: Context, search: str) -> str:
    reader = OwnReader(context)
    return words_for(search, choose(reader, reader.search(search)))


def test_it_trains_the_trial_that_predicts_and_survives_its_worker(context: Context, clock: Clock) -> None:
    hand = Hand(context)
    search = trained(context, hand)
    refit = follower(context, search)
    assert (refit.state, refit.trials, refit.n_folds, refit.baseline) == ("queued", None, 3, None)
    lost = hand.take()
    assert lost.search == refit.id
    assert lost.problem.cv.model_dump(exclude_defaults=True) == {"holdout": 0.1, "repeats": 3}
    assert (lost.keep_checkpoints, lost.problem.n_folds) == (None, 3)
    assert [trial.params for trial in lost.trials] == [rank.trial(context, search, 1).params]
    with pytest.raises(Conflict, match="is being refitted"):
        finalize.finalize(context, search)
    clock.advance(61)  # the worker is silent, and another one takes its trial
    other = Hand(context, "other")
    taken = other.take()
    assert [(trial.number, trial.attempt) for trial in taken.trials] == [(0, 2)]
    assert f"since its refit {refit.id} is running" in words(context, search)
    other.report(taken, result(0, (0.8, 0.8, 0.8), checkpoints=True))
    refit = follower(context, search)
    assert (refit.state, refit.trials) == ("completed", 1)
    assert refit.refits is not None
    assert (refit.refits.trials, refit.refits.share) == ({1: 0}, 0.9)
    refitted = f"trial 1 (rank 1) of {search}, refitted on 90% of the rows: the mean of 3 networks"
    assert words(context, search) == refitted
    model = finalize.finalize(context, search)
    assert (model.refit, model.winner, len(model.members[0].checkpoints)) == (refit.id, 1, 3)
    assert other.try_take() is None


def test_without_a_score_there_is_nothing_to_refit(context: Context) -> None:
    search = new_search(context, budget={"trials": 1}, final={"refit": True})
    hand = Hand(context)
    hand.report(hand.take(), result(0, (None, None), outcome="diverged"))
    assert view.search(context, search).state == "completed"
    assert view.search(context, search).followers == {"refit": None}
    assert hand.try_take() is None


def test_where_it_fails_the_folds_predict_and_what_comes_next_begins(context: Context) -> None:
    hand = Hand(context)
    search = trained(context, hand, final={"refit": True, "reseed": {"top": 1, "seeds": 1}})
    refit = follower(context, search)
    hand.report(hand.take(), result(0, (), outcome="failed", message="no room"))
    assert follower(context, search).state == "failed"
    assert follower(context, search, "reseed").state == "queued"
    assert words(context, search).endswith(f", since its refit {refit.id} is failed")
    model = finalize.finalize(context, search)
    assert model.refit is None
    assert model.sentences[0] == f"The networks of the folds predict, since its refit {refit.id} is failed."


def test_a_network_without_a_score_leaves_the_folds(context: Context) -> None:
    hand = Hand(context)
    search = trained(context, hand)
    hand.report(hand.take(), result(0, (0.5, None, 0.5), outcome="undefined"))
    refit = follower(context, search)
    assert refit.state == "completed"
    assert words(context, search).endswith(f", since trial 1 has no networks in its refit {refit.id}")


def test_of_a_search_that_goes_on_again_it_waits(context: Context) -> None:
    hand = Hand(context)
    search = trained(context, hand)
    extend(context, search, Extension(trials=1))
    assert follower(context, search).state == "queued"
    held = hand.take(2)
    assert held.search == search
    assert Hand(context, "other").try_take() is None
    hand.report(held, result(3, (0.9, 0.9)))
    hand.release(held)
    assert hand.take().trials[0].params == rank.trial(context, search, 3).params
    # a trial that joins later is not among those that were refitted
    refit = follower(context, search)
    extend(context, search, Extension(trials=1))
    hand.report(hand.take(2), result(4, (1.0, 1.0)))
    control.stop(context, refit.id)
    assert words(context, search).endswith(f", since its refit {refit.id} is stopped")


def test_a_search_extended_after_its_refit_predicts_by_the_folds(context: Context) -> None:
    hand = Hand(context)
    search = trained(context, hand)
    hand.report(hand.take(), result(0, (0.8, 0.8, 0.8), checkpoints=True))
    refit = follower(context, search)
    extend(context, search, Extension(trials=1))
    hand.report(hand.take(2), result(3, (1.0, 1.0)))
    assert words(context, search).endswith(
        f", since its refit {refit.id} is of other trials than those that predict by now"
    )
    assert list(view.search(context, search).followers.values()) == [refit.id]


def test_of_a_deleted_search_it_fails_and_of_a_stopped_one_there_is_none(context: Context) -> None:
    hand = Hand(context)
    search = trained(context, hand)
    refit = follower(context, search)
    control.delete(context, search)
    assert hand.try_take() is None
    assert "was deleted" in view.search(context, refit.id).notes[-1]
    stopped = new_search(context, final={"refit": True}, name="stopped")
    hand.report(hand.take(2), result(0))
    control.stop(context, stopped)
    assert words(context, stopped).endswith("since it is stopped, and only a search that is completed is refitted")
