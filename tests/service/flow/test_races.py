"""Real threads, on Postgres through two masters: whoever comes first has a trial, and the other learns it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from foldstep.service.contract.errors import LeaseLost
from foldstep.service.contract.states import TrialState
from foldstep.service.flow import rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.sweep import sweep
from tests.service.conftest import MakeContext
from tests.service.scenes import KILLED, Clock, Hand, new_search, result

N_ROUNDS = 8


@pytest.fixture
def masters(make_context: MakeContext, database_url: str) -> tuple[Context, Context]:
    first = make_context()
    return first, make_context() if "postgres" in database_url else first


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run functions at the same time, and return what each returned; `LeaseLost` where it was refused so."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return act()
        except LeaseLost as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_late_report_and_a_claim_of_its_trial(masters: tuple[Context, Context], clock: Clock) -> None:
    here, there = masters
    for _ in range(N_ROUNDS):
        search = new_search(here, budget={"trials": 1})
        late, other = Hand(here, "late"), Hand(there, "other")
        held = late.take()
        clock.advance(61)
        sweep(here)
        told, taken = at_once(lambda: late.report(held, result(0, (0.9, 0.9))), other.try_take)  # noqa: B023
        trial = rank.trial(here, search, 0)
        if isinstance(told, LeaseLost):
            assert trial.state is TrialState.RUNNING
            other.report(taken, result(0))
        assert (taken is None) is not isinstance(told, LeaseLost)
        assert rank.trial(here, search, 0).score == (0.6 if taken else 0.9)


def test_report_and_the_end_of_its_lease(masters: tuple[Context, Context], clock: Clock) -> None:
    here, there = masters
    for _ in range(N_ROUNDS):
        search = new_search(here, budget={"trials": 1})
        hand = Hand(here)
        held = hand.take()
        sweep(there)
        clock.advance(61)
        at_once(lambda: hand.report(held, result(0)), lambda: sweep(there))  # noqa: B023
        assert rank.trial(here, search, 0).state is TrialState.COMPLETED
        hand.release(held)


def test_report_and_the_death_of_its_worker(masters: tuple[Context, Context]) -> None:
    here, there = masters
    for _ in range(N_ROUNDS):
        search = new_search(here, budget={"trials": 2})
        hand, parent, other = Hand(here), Hand(there, "parent"), Hand(there, "other")
        held = hand.take(4)
        parent.worker = hand.worker
        at_once(lambda: hand.report(held, result(0)), lambda: parent.die(**KILLED))  # noqa: B023
        while (taken := other.try_take(4)) is not None:
            other.report(taken, *(result(t.number) for t in taken.trials))
            other.release(taken)
        left = view.search(here, search).counts
        if TrialState.RUNNING in left:  # the report came last, and got the lease back
            hand.report(held, result(1))
            left = view.search(here, search).counts
        assert left == {TrialState.COMPLETED: 2}
