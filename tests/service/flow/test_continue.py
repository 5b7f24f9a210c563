"""Stages that continue the one before: whose states are handed up, who gets them, and when they go."""

from __future__ import annotations

import random
from typing import Any

import pytest

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.report import TrialResult
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.contract.submit import Extension
from foldstep.service.db import continued
from foldstep.service.flow import control, files, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.extend import extend
from foldstep.service.flow.sweep import sweep
from foldstep.service.flow.transfer import put_snapshot, snapshot_path
from tests.service.conftest import MakeContext
from tests.service.scenes import Clock, Hand, new_search, result

STAGES = [{"trials": 6, "epochs": 1}, {"trials": 6, "epochs": 3, "continue": True}]
THREE = [*STAGES, {"trials": 3, "epochs": 9, "continue": True}]


def staged(context: Context, stages: list[dict[str, Any]] = STAGES, **changes: Any) -> str:
    return new_search(context, **{"method": "coarse_to_fine", "budget": {}, "stages": stages, **changes})


def score(number: int) -> float:
    return random.Random(number).random()


def trained(trial: LeasedTrial) -> TrialResult:
    epochs = trial.params["epochs"]
    assert isinstance(epochs, int)
    return result(trial.number, (score(trial.number), 0.5), epochs=epochs)


def name(trial: LeasedTrial) -> str:
    return f"trial-{trial.number:06d}.safetensors"


def hand_up(hand: Hand, held: Lease, *trials: LeasedTrial) -> None:
    """Report trials to their end, with their states where these are wanted."""
    wanted = [t for t in trials if t.keep_snapshot]
    for trial in wanted:
        put_snapshot(hand.context, held.lease, held.token, name(trial), name(trial).encode())
    hand.report(held, *(trained(t) for t in trials), snapshots={t.number: name(t) for t in wanted})


def work(hand: Hand, members: int = 100) -> list[LeasedTrial]:
    held = hand.try_take(members)
    if held is None:
        return []
    hand_up(hand, held, *held.trials)
    hand.release(held)
    return held.trials


def state_files(context: Context, search: str) -> set[str]:
    return files.names_in(files.snapshot_folder(context.settings, search))


def best(numbers: range, count: int) -> list[int]:
    return sorted(numbers, key=lambda n: -score(n))[:count]


def test_survivors_go_on_with_the_states_that_their_trials_left(context: Context) -> None:
    search, hand = staged(context), Hand(context)
    first = work(hand)
    assert [(t.keep_snapshot, t.legs, t.resume) for t in first] == [(True, [], None)] * 6
    assert state_files(context, search) == {f"lease-1_{name(first[n])}" for n in best(range(6), 4)}, "two to spare"
    held = hand.take(100)
    survivors = best(range(6), 2)
    assert [t.legs for t in held.trials] == [[1], [1], [], [], [], []]
    assert not any(t.keep_snapshot for t in held.trials), "no stage follows that would continue it"
    for trial, before in zip(held.trials, survivors, strict=False):
        assert trial.resume is not None
        content = snapshot_path(context, held.lease, held.token, trial.resume).read_bytes()
        assert content == name(first[before]).encode()
        assert trial.params == {**first[before].params, "epochs": 3}
    assert [t.resume for t in held.trials[2:]] == [None] * 4
    assert state_files(context, search) == {t.resume for t in held.trials[:2]}, "the others are of no more use"
    assert [rank.trial(context, search, n).continues for n in range(5, 9)] == [None, *survivors, None]


def test_only_states_that_can_still_be_continued_are_asked_for_and_kept(context: Context) -> None:
    search, hand = staged(context), Hand(context)
    held = hand.take(100)
    assert held.snapshot_bar is None
    seen: list[int] = []
    running = held.trials[-1]
    put_snapshot(context, held.lease, held.token, name(running), b"on the way")
    hand.report(held, snapshots={running.number: name(running)})
    for trial in held.trials[:-1]:
        put_snapshot(context, held.lease, held.token, name(trial), b"")
        reply = hand.report(held, trained(trial), snapshots={trial.number: name(trial)})
        seen = sorted([*seen, trial.number], key=lambda n: -score(n))[:4]
        kept = {f"lease-{held.lease}_{name(held.trials[n])}" for n in [*seen, running.number]}
        assert state_files(context, search) == kept, "those of the best, and of whoever trains"
        bar = (score(seen[3]) + 0.5) / 2 if len(seen) == 4 else None
        assert reply.snapshot_bar == bar
    hand.release(held)
    assert hand.take(100).snapshot_bar == bar


def test_a_chain_has_a_leg_for_every_stage(context: Context) -> None:
    search, hand = staged(context, THREE), Hand(context)
    work(hand)
    second = work(hand)
    assert all(t.keep_snapshot for t in second)
    (last, *_) = hand.take(100).trials
    before = rank.trial(context, search, last.number).continues
    assert before == best(range(6, 12), 1)[0]
    assert last.legs == ([1, 3] if before in (6, 7) else [3])
    assert state_files(context, search) == {last.resume}


def test_without_the_word_nothing_is_handed_up_or_kept(context: Context) -> None:
    stages = [{k: v for k, v in stage.items() if k != "continue"} for stage in STAGES]
    search, hand = staged(context, stages), Hand(context)
    held = hand.take(100)
    assert not any(t.keep_snapshot for t in held.trials)
    for trial in held.trials:  # as it would for fear of a crash
        put_snapshot(context, held.lease, held.token, name(trial), b"on the way")
    hand.report(held, *(trained(t) for t in held.trials[1:]), snapshots={t.number: name(t) for t in held.trials})
    with context.database.read() as connection:
        assert continued.resumes(connection, search) == {0: f"lease-{held.lease}_{name(held.trials[0])}"}
    hand.report(held, trained(held.trials[0]))
    hand.release(held)
    again = hand.take(100).trials
    assert [(t.legs, t.resume) for t in again] == [([], None)] * 6
    assert state_files(context, search) == set()


def test_a_state_that_did_not_arrive_is_trained_again(context: Context) -> None:
    staged(context)
    hand = Hand(context)
    held = hand.take(100)
    hand.report(held, *(trained(t) for t in held.trials), snapshots={t.number: name(t) for t in held.trials})
    hand.release(held)
    assert [(t.legs, t.resume) for t in hand.take(100).trials[:2]] == [([1], None)] * 2


def test_a_diverged_trial_hands_nothing_up(context: Context) -> None:
    search, hand = staged(context), Hand(context)
    held = hand.take(100)
    for trial in held.trials:
        put_snapshot(context, held.lease, held.token, name(trial), b"")
    sent = [result(t.number, (None, None), outcome="diverged", epochs=1) for t in held.trials]
    hand.report(held, *sent, snapshots={t.number: name(t) for t in held.trials})
    hand.release(held)
    assert [(t.legs, t.resume) for t in hand.take(100).trials] == [([], None)] * 6
    assert state_files(context, search) == set()


def test_after_a_crash_it_goes_on_from_its_own_state_or_the_one_before(context: Context, clock: Clock) -> None:
    staged(context)
    hand = Hand(context)
    work(hand)
    held = hand.take(100)
    one, other, *_ = held.trials
    put_snapshot(context, held.lease, held.token, name(one), b"further on")
    hand.report(held, snapshots={one.number: name(one)})
    clock.advance(61)
    sweep(context)
    again = {t.number: t for t in hand.take(100).trials}
    assert again[one.number].resume == f"lease-{held.lease}_{name(one)}"
    assert again[other.number].resume == other.resume
    assert [again[t.number].legs for t in (one, other)] == [[1], [1]]


def test_states_are_gone_when_the_search_ends_and_an_extended_one_does_without(context: Context, clock: Clock) -> None:
    search, hand = staged(context, budget={"time": "60s"}), Hand(context)
    held = hand.take(8)
    hand_up(hand, held, *held.trials[:-1])
    clock.advance(60)
    sweep(context)
    assert view.search(context, search).state is SearchState.COMPLETED
    assert state_files(context, search) == set()
    extend(context, search, Extension(time=600))
    while view.search(context, search).stage == 0:
        work(hand)
    first, second, *_ = hand.take(100).trials
    assert [first.legs, second.legs] == [[1], [1]]
    assert {first.resume, second.resume} <= {None, *state_files(context, search)}


def test_a_stopped_search_leaves_no_states(context: Context) -> None:
    search, hand = staged(context), Hand(context)
    work(hand)
    held = hand.take(100)
    resume = held.trials[0].resume
    assert resume is not None
    control.stop(context, search)
    with pytest.raises(NotFound):
        snapshot_path(context, held.lease, held.token, resume)


def outcome(context: Context, search: str) -> list[tuple[Any, ...]]:
    rows = rank.leaderboard(context, search, limit=1000, order_by="number").rows
    return [(r.trial, r.state, r.score, r.params, r.epoch, r.continues) for r in rows]


def test_restarts_silence_and_any_number_of_workers_change_nothing(make_context: MakeContext, clock: Clock) -> None:
    calm = make_context(max_attempts=100)
    alone = staged(calm, THREE)
    while work(Hand(calm)):
        pass
    assert {state for _, state, *_ in outcome(calm, alone)} == {TrialState.COMPLETED}
    for seed in range(3):
        draw, search = random.Random(seed), staged(calm, THREE)
        while view.search(calm, search).finished_at is None:
            hand = Hand(make_context(max_attempts=100))
            held = hand.try_take(draw.choice([2, 6, 100]))
            if held is None:
                continue
            done = held.trials[: draw.randint(0, len(held.trials))]
            for trial in done:
                hand_up(hand, held, trial)
                hand_up(hand, held, trial)  # the answer was lost; the same again
            if draw.random() < 0.5:
                sweep(calm)  # it sees the lease, and then nothing of it
                clock.advance(61)
                sweep(calm)
            else:
                hand.release(held)
        assert outcome(calm, search) == outcome(calm, alone)
