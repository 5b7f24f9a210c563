"""Searches that learn from their results, through the database, with the planner's own process."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.data.allowance import limits_to_compute
from foldstep.service.db import trials
from foldstep.service.flow import view
from foldstep.service.flow.context import Context
from foldstep.service.flow.propose import propose
from foldstep.service.flow.sweep import sweep
from foldstep.service.planner import child
from tests.service.conftest import MakeContext
from tests.service.scenes import LR, Clock, Hand, new_search, result, score_of

PARAMETERS = {"lr": LR, "dropout": {"low": 0.0, "high": 0.8}, "optimizer": ["sgd", "adam"]}
N_TRIALS = 14


def learning_search(context: Context, method: str, **changes: Any) -> str:
    return new_search(
        context, **{"method": method, "budget": {"trials": N_TRIALS}, "parameters": PARAMETERS, "batch": 4, **changes}
    )


def work(hand: Hand, members: int = 4) -> bool:
    """Train one lease to its end; whether there was one."""
    held = hand.try_take(members)
    if held is None:
        return False
    hand.report(held, *(result(t.number, [score_of(t.params)] * 2) for t in held.trials))
    hand.release(held)
    return True


def test_nothing_is_given_while_a_batch_is_open_and_a_lost_trial_comes_again(context: Context, clock: Clock) -> None:
    search = learning_search(context, "tpe")
    lost, other = Hand(context, "lost"), Hand(context)
    held = lost.take(4)
    while work(other):
        pass
    seen = view.search(context, search)
    assert seen.counts == {TrialState.RUNNING: len(held.trials), TrialState.COMPLETED: 8 - len(held.trials)}
    clock.advance(61)
    sweep(context)
    while work(other):
        pass
    assert view.search(context, search).counts == {TrialState.COMPLETED: N_TRIALS}


def test_failed_trials_end_a_batch_too(context: Context) -> None:
    search = learning_search(context, "tpe")
    hand = Hand(context)
    while held := hand.try_take(4):
        hand.report(
            held,
            *(
                result(t.number, outcome="failed") if t.number % 2 else result(t.number, [0.5, 0.5])
                for t in held.trials
            ),
        )
        hand.release(held)
    assert view.search(context, search).counts == {TrialState.COMPLETED: 7, TrialState.FAILED: 7}


def test_a_batch_is_shared_between_workers(context: Context) -> None:
    learning_search(context, "tpe", batch=12, budget={"trials": 1000})
    hands = [Hand(context) for _ in range(2)]
    assert [len(hand.take(1000).trials) for hand in hands] == [12, 12]


def test_an_exhausted_space_ends_the_search_and_says_so(context: Context) -> None:
    few = {"lr": [0.1, 0.01, 0.001], "dropout": [0.0, 0.1, 0.2]}
    for budget, words in (({"trials": 50}, "fewer than the 50"), ({"time": "1h"}, "each of its 9 points")):
        search = learning_search(context, "cmaes", parameters=few, budget=budget)
        assert sorted(Hand(context).work_all()) == list(range(9))
        seen = view.search(context, search)
        assert seen.state is SearchState.COMPLETED
        assert words in seen.notes[-1]


def test_two_masters_store_a_batch_once(make_context: MakeContext) -> None:
    first, second = make_context(), make_context()
    search = learning_search(first, "tpe")
    barrier = threading.Barrier(2)

    def run(context: Context) -> None:
        barrier.wait()
        propose(context, search)

    threads = [threading.Thread(target=run, args=(c,)) for c in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert view.search(first, search).counts == {TrialState.WAITING: 8}


def child_process() -> Any:
    process = child._child._process
    assert process is not None
    return process


def test_heartbeats_go_on_while_a_batch_is_proposed(make_context: MakeContext) -> None:
    context = make_context()
    other = new_search(context, budget={"trials": 1})
    hand = Hand(context)
    held = hand.take(2)
    search = learning_search(context, "tpe")
    while view.search(context, search).counts != {TrialState.COMPLETED: 8}:
        work(Hand(context))
    limits = limits_to_compute(context.settings)  # a process with others would be replaced
    child.propose_in_child(boundary_request(context, search), limits)  # so that there is a process to stop
    stopped = child_process()
    os.kill(stopped.pid, signal.SIGSTOP)
    proposing = threading.Thread(target=propose, args=(context, search))
    proposing.start()
    try:
        while search not in context.proposing.searches:
            pass
        assert Hand(context).try_take() is None, "who asks meanwhile does not wait"
        hand.report(held, result(0))
        assert view.search(context, other).state is SearchState.COMPLETED
        assert proposing.is_alive()
        assert child_process() is stopped
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    proposing.join()
    assert view.search(context, search).counts[TrialState.WAITING] == 4


def boundary_request(context: Context, search: str) -> Any:
    from foldstep.service.planner.request import BatchRequest

    with context.database.read() as connection:
        history = trials.history(connection, search)
    space = view.search(context, search).stages[0].space
    return BatchRequest(
        method="tpe",
        space=space,
        number=2,
        size=4,
        seed=0,
        direction=Direction.MAXIMIZE,
        first_trial=0,
        history=history,
    )


def test_a_planners_process_that_dies_is_replaced(context: Context) -> None:
    search = learning_search(context, "tpe")
    hand = Hand(context)
    while work(hand):
        if child._child._process is not None:
            child_process().kill()
    assert view.search(context, search).counts == {TrialState.COMPLETED: N_TRIALS}


def test_a_search_whose_planner_dies_again_and_again_fails_and_says_why(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = child.Child(timeout_s=0.001)
    monkeypatch.setattr(child, "_child", hasty)
    search = learning_search(context, "tpe")
    hand = Hand(context)
    while work(hand):
        pass
    seen = view.search(context, search)
    hasty.close()
    assert seen.state is SearchState.FAILED
    assert "The method tpe could not continue" in seen.notes[-1]


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_a_search_in_a_presets_space_begins_with_the_published_settings(context: Context, method: str) -> None:
    new_search(context, method=method, parameters={"preset": "plain_space", "epochs": 3}, budget={"trials": 3})
    found = {trial.number: trial.params for trial in Hand(context).take(3).trials}
    assert [found[0][name] for name in ("lr", "dropout", "weight_decay", "epochs")] == [0.001, 0.0, 0.0, 3]
    assert [number for number, params in found.items() if params["lr"] == 0.001] == [0]
