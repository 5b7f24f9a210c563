"""Extending a search: it goes on where it was, by exactly what it got; what would end at once is refused."""

from __future__ import annotations

import pytest

from foldstep.service.contract.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.contract.submit import Extension
from foldstep.service.flow import control, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.extend import extend, refuse_change
from foldstep.service.flow.sweep import sweep
from tests.service.flow.test_rungs import outcome, rung_search, work
from tests.service.scenes import Clock, Hand, new_search, result


def by(trials: int | None = None, time: str | None = None) -> Extension:
    return Extension.model_validate({"trials": trials, "time": time})


def test_a_completed_search_goes_on_where_it_was(context: Context) -> None:
    whole, parts = new_search(context, budget={"trials": 9}), new_search(context, budget={"trials": 6})
    hands = [Hand(context, "one"), Hand(context, "two")]
    while any(hand.work(2) for hand in hands):
        pass
    assert view.search(context, parts).state is SearchState.COMPLETED
    extend(context, parts, by(3))
    seen = view.search(context, parts)
    assert (seen.state, seen.trials, seen.finished_at) == (SearchState.RUNNING, 9, None)
    while any(hand.work(2) for hand in hands):
        pass
    seen = view.search(context, parts)
    assert seen.state is SearchState.COMPLETED
    assert seen.counts == {TrialState.COMPLETED: 9}
    params = [[t.params for t in rank.leaderboard(context, s, order_by="number").rows] for s in (whole, parts)]
    assert params[0] == params[1], "the same trials as with the larger budget from the start"


@pytest.mark.parametrize("state", [SearchState.QUEUED, SearchState.RUNNING, SearchState.PAUSED])
def test_an_open_search_stays_as_it_is_and_gets_more(context: Context, state: SearchState) -> None:
    search, hand = new_search(context, budget={"trials": 2}), Hand(context)
    if state is not SearchState.QUEUED:
        hand.work(2)
    if state is SearchState.PAUSED:
        control.pause(context, search)
    extend(context, search, by(3))
    assert view.search(context, search).state is state
    if state is SearchState.PAUSED:
        control.resume(context, search)
    hand.work_all()
    assert view.search(context, search).counts == {TrialState.COMPLETED: 5}


def test_time_is_added_to_what_was_left(context: Context, clock: Clock) -> None:
    search, hand = new_search(context, budget={"time": "60s", "trials": 4}), Hand(context)
    hand.work_all()
    clock.advance(1000)
    with pytest.raises(InvalidInput, match="more trials, more time"):
        extend(context, search, by())
    extend(context, search, by(4, "30s"))
    hand.work(2)
    clock.advance(89)
    sweep(context)
    assert view.search(context, search).state is SearchState.RUNNING
    clock.advance(1)
    sweep(context)
    assert view.search(context, search).state is SearchState.COMPLETED


def test_what_the_end_cancelled_is_trained_after_all(context: Context, clock: Clock) -> None:
    search, hand = new_search(context, budget={"time": "60s", "trials": 6}), Hand(context)
    hand.work(4)
    lost = hand.take(4)
    clock.advance(61)
    sweep(context)
    assert view.search(context, search).counts == {TrialState.COMPLETED: 2, TrialState.CANCELLED: 4}
    with pytest.raises(Conflict, match="--time"):
        extend(context, search, by(1))
    extend(context, search, by(time="1h"))
    hand.work_all()
    seen = view.search(context, search)
    assert (seen.state, seen.counts) == (SearchState.COMPLETED, {TrialState.COMPLETED: 6})
    assert {t.number for t in lost.trials} <= {t.trial for t in rank.leaderboard(context, search).rows}


def test_a_grid_is_never_larger_than_its_points(context: Context) -> None:
    grid = {"method": "grid", "parameters": {"lr": [0.1, 0.2, 0.3, 0.4, 0.5]}}
    search, hand = new_search(context, **grid, budget={"trials": 2}), Hand(context)
    hand.work_all()
    extend(context, search, by(100))
    hand.work_all()
    seen = view.search(context, search)
    assert seen.counts == {TrialState.COMPLETED: 5}
    assert any("exhausted: it has 5 points" in note for note in seen.notes)
    with pytest.raises(Conflict, match=rf"all of its 5 points .* warm_start: {search}"):
        extend(context, search, by(1))


def test_refusals_say_what_to_do(context: Context) -> None:
    reached = new_search(context, metric={"name": "accuracy", "target": 0.5})
    Hand(context).work(2)
    with pytest.raises(Conflict, match=f"reached its target.*warm_start: {reached}"):
        extend(context, reached, by(1))
    stopped = new_search(context)
    control.stop(context, stopped)
    with pytest.raises(IllegalTransition, match="is stopped; extend is not possible"):
        extend(context, stopped, by(1))
    staged = new_search(context, method="coarse_to_fine", budget={"trials": 20})
    with pytest.raises(Conflict, match=r"stage 1 of 3"):
        extend(context, staged, by(1))
    endless = new_search(context, budget={"time": "1h"})
    with pytest.raises(Conflict, match="no limit of trials"):
        extend(context, endless, by(1))
    with pytest.raises(NotFound):
        extend(context, "nowhere", by(1))
    with pytest.raises(Conflict, match=f"warm_start: {endless}"):
        refuse_change(context, endless)


def test_rungs_go_on_after_an_extension(context: Context) -> None:
    search, hand = rung_search(context, 9), Hand(context)
    while work(hand):
        pass
    before = outcome(context, search)
    extend(context, search, by(18))
    while work(hand):
        pass
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert sum(seen.counts.values()) == 27
    whole = rung_search(context, 27)
    while work(hand):
        pass
    assert outcome(context, search) == outcome(context, whole), "blocks of nine end where the first budget did"
    assert before != outcome(context, search)[:9]


@pytest.mark.parametrize("n_hands", [1, 2, 3])
def test_budgets_are_met_exactly_by_any_number_of_workers(context: Context, n_hands: int) -> None:
    hands = [Hand(context, f"h{i}") for i in range(n_hands)]
    search = new_search(context, budget={"trials": 7, "parallel": 3})
    while view.search(context, search).finished_at is None:
        held = [lease for hand in hands if (lease := hand.try_take(8)) is not None]
        assert view.search(context, search).counts.get(TrialState.RUNNING, 0) <= 3
        for hand, lease in zip(hands, held, strict=False):
            hand.report(lease, *(result(t.number) for t in lease.trials))
            hand.release(lease)
    assert view.search(context, search).counts == {TrialState.COMPLETED: 7}


@pytest.mark.parametrize("n_failed", [2, 3])
def test_the_budget_of_failures_holds_at_its_edge(context: Context, n_failed: int) -> None:
    search, one, two = new_search(context, budget={"trials": 6, "failed": 3}), Hand(context, "1"), Hand(context, "2")
    held = [one.take(6), two.take(6)]
    numbers = [(hand, lease, t.number) for hand, lease in zip((one, two), held, strict=True) for t in lease.trials]
    for hand, lease, number in numbers[:n_failed]:
        hand.report(lease, result(number, (), outcome="failed", message="broken"))
    state = view.search(context, search).state
    assert state is (SearchState.FAILED if n_failed == 3 else SearchState.RUNNING)
