"""After a worker's death its trials are tried again in smaller and smaller leases; one is blamed only when alone."""

from __future__ import annotations

import random
import signal

import pytest

from foldstep.service.contract.death import WorkerDeath
from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.lease import Lease
from foldstep.service.contract.report import TrialProgress
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.flow import rank, view
from foldstep.service.flow.blame import EVIDENT
from foldstep.service.flow.context import Context
from foldstep.service.flow.died import worker_died
from foldstep.service.flow.sweep import sweep
from tests.service.scenes import KILLED, Clock, Hand, new_search, result

MAX_ATTEMPTS = 3
CRASHED = {"signal": signal.SIGSEGV, "rss_bytes": 3 << 30, "said": "Fatal Python error:\n  Segmentation fault"}


def trained_apart(hand: Hand, search: str, bad: int, **death: object) -> list[list[int]]:
    """Train all trials; the lease with a bad one ends its worker. Return the trials of the leases that died."""
    died = []
    while (held := hand.try_take(64)) is not None:
        numbers = [t.number for t in held.trials]
        if bad in numbers:
            died.append(numbers)
            hand.die(**death)
        else:
            hand.report(held, *(result(n) for n in numbers))
            hand.release(held)
    assert view.search(hand.context, search).state is SearchState.COMPLETED
    return died


@pytest.mark.parametrize(("death", "n_alone"), [(CRASHED, MAX_ATTEMPTS), (KILLED, EVIDENT * MAX_ATTEMPTS)])
def test_leases_are_halved_down_to_the_suspect(context: Context, death: dict[str, object], n_alone: int) -> None:
    search = new_search(context, budget={"trials": 24})
    died = trained_apart(Hand(context), search, 16, **death)
    sizes = [len(numbers) for numbers in died]
    assert sizes[-n_alone:] == [1] * n_alone
    assert sizes[:-n_alone] == [24, 12, 6, 3, 2]
    rows = {row.trial: row for row in rank.leaderboard(context, search, order_by="number", limit=50).rows}
    assert [n for n, row in rows.items() if row.state is not TrialState.COMPLETED] == [16]
    assert rows[16].state is TrialState.FAILED


def test_trial_that_is_given_up_says_what_was_seen(context: Context) -> None:
    search = new_search(context, budget={"trials": 3})
    trained_apart(Hand(context), search, 1, **CRASHED)
    message = str(rank.trial(context, search, 1).message)
    assert "each time that it trained alone it got no further than epoch 0" in message
    assert "signal 11 (SIGSEGV), with 3,072 MiB of memory; it said: Fatal Python error: Segmentation fault" in message


@pytest.mark.parametrize("seed", range(3))
def test_good_trials_are_never_given_up_though_workers_are_killed_at_random(
    context: Context, clock: Clock, seed: int
) -> None:
    """Three workers, each killed or silent in every other step; a trial takes four, and resumes where it was saved.

    A trial would have to be hit twelve times in a row before it gets further: 0.5 ** 12 for each step.
    """
    draw = random.Random(seed)
    search = new_search(context, budget={"trials": 24})
    hands = [Hand(context, f"hand {i}") for i in range(3)]
    held: dict[str, Lease] = {}
    epochs: dict[int, int] = {}
    n_deaths = 0
    while view.search(context, search).finished_at is None:
        hand = draw.choice(hands)
        if hand.name not in held:
            taken = hand.try_take(8)
            held |= {hand.name: taken} if taken else {}
        elif draw.random() < 0.5:
            n_deaths += 1
            held.pop(hand.name)
            _kill(hand, clock, draw, held, hands)
        elif _step(hand, held[hand.name], epochs):
            hand.release(held.pop(hand.name))
    assert n_deaths > 20
    assert view.search(context, search).counts == {TrialState.COMPLETED: 24}


def _kill(hand: Hand, clock: Clock, draw: random.Random, held: dict[str, Lease], hands: list[Hand]) -> None:
    """End a worker: its parent tells, or it falls silent while the others report."""
    if draw.random() < 0.7:
        hand.die(**KILLED)
        return
    for _ in range(2):
        clock.advance(31)
        for other in hands:
            if other.name in held:
                other.report(held[other.name])
    sweep(hand.context)


def _step(hand: Hand, held: Lease, epochs: dict[int, int]) -> bool:
    """Train each open trial of a lease by an epoch, report, and tell whether all are done."""
    for trial in held.trials:
        epochs[trial.number] = epochs.get(trial.number, 0) + 1
    progress = [TrialProgress(trial=t.number, epoch=epochs[t.number], score=0.5) for t in held.trials]
    done = [result(t.number) for t in held.trials if epochs[t.number] >= 4]
    hand.report(held, *done, progress=progress)
    return len(done) == len(held.trials)


def test_trial_that_gets_further_each_time_is_not_given_up(context: Context) -> None:
    search = new_search(context, budget={"trials": 1})
    hand = Hand(context)
    for epoch in range(1, 10):
        hand.report(hand.take(), progress=[TrialProgress(trial=0, epoch=epoch, score=0.5)])
        hand.die(**CRASHED)
    for _ in range(MAX_ATTEMPTS - 1):
        assert rank.trial(context, search, 0).state is TrialState.WAITING
        hand.take()
        hand.die(**CRASHED)
    assert rank.trial(context, search, 0).state is TrialState.FAILED
    assert "no further than epoch 9" in str(rank.trial(context, search, 0).message)


def test_suspects_share_no_lease_with_others(context: Context) -> None:
    new_search(context, budget={"trials": 12})
    unlucky, other = Hand(context), Hand(context, "other")
    lost = unlucky.take(8)
    unlucky.die(**KILLED)
    assert [len(other.take(64).trials) for _ in range(2)] == [2, 2], "no more than half of them in one lease"
    fresh = other.take(64)
    assert not {t.number for t in fresh.trials} & {t.number for t in lost.trials}


def test_death_is_known_at_once_and_may_be_told_twice(context: Context) -> None:
    new_search(context, budget={"trials": 4})
    hand, other = Hand(context, key="random-key-of-a-worker"), Hand(context, "other")
    lost = hand.take(8)
    for worker in (hand.worker, "random-key-of-a-worker"):
        worker_died(context, worker, WorkerDeath(**KILLED))
        dead = view.all_workers(context).rows[1]
        assert (dead.running, dead.live) == (0, False)
    taken = {t.number for _ in range(2) for t in other.take(8).trials}
    assert taken == {t.number for t in lost.trials}
    with pytest.raises(NotFound):
        hand.try_take()
    with pytest.raises(NotFound):
        worker_died(context, "another-random-key", WorkerDeath())
    with pytest.raises(NotFound):
        worker_died(context, 99, WorkerDeath())


def test_worker_of_the_same_key_is_the_same_and_lives_again(context: Context) -> None:
    new_search(context)
    hand = Hand(context, key="random-key-of-a-worker")
    again = Hand(context, "with another name", key="random-key-of-a-worker")
    assert again.worker == hand.worker
    worker_died(context, hand.worker, WorkerDeath())
    again.register()
    assert again.try_take() is not None
    assert [w.name for w in view.all_workers(context).rows] == ["with another name"]


@pytest.mark.parametrize(
    ("seen", "is_evident"),
    [
        ({"signal": signal.SIGKILL}, False),
        ({"signal": signal.SIGTERM}, False),
        ({"exit_code": -signal.SIGKILL}, False),
        ({"exit_code": 137}, False),
        ({"exit_code": 0}, False),
        ({}, False),
        ({"signal": signal.SIGKILL, "oom": True}, True),
        ({"signal": signal.SIGSEGV}, True),
        ({"exit_code": 139}, True),
        ({"exit_code": 1}, True),
    ],
)
def test_cause_is_evident_unless_the_kill_may_come_from_outside(seen: dict[str, object], is_evident: bool) -> None:
    assert WorkerDeath.model_validate(seen).is_evident is is_evident
