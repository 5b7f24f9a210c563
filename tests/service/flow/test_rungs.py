"""Rungs through the flow: the same verdicts with any workers, whatever happens on the way, and an end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.report import TrialResult
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.flow import control, files, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.sweep import sweep
from foldstep.service.flow.transfer import put_snapshot
from tests.service.conftest import MakeContext
from tests.service.scenes import LR, Clock, Hand, new_search, result

EPOCHS = 9
PARAMETERS = {"lr": LR, "epochs": EPOCHS}


def rung_search(context: Context, n_trials: int = 20, **early_stop: Any) -> str:
    changes = {"parameters": PARAMETERS, "cv": {"folds": 3}, "budget": {"trials": n_trials}}
    return new_search(context, early_stop=early_stop or {"rungs": "asha"}, **changes)


def trained(trial: LeasedTrial, qualities: Mapping[int, float] | None = None) -> TrialResult:
    """What a trial comes to under its lease: better with every epoch, and by its number in no order."""
    draw = random.Random(trial.number)
    quality = (qualities or {}).get(trial.number, draw.random())
    epochs = trial.until or EPOCHS
    scores = [quality / 2 + epochs / 30 + draw.gauss(0, 0.02) for _ in range(trial.folds or 3)]
    is_paused = trial.until is not None and (trial.until < EPOCHS or trial.folds is not None)
    return result(trial.number, scores, outcome="paused" if is_paused else "completed", epochs=epochs)


def work(hand: Hand, members: int = 12) -> list[LeasedTrial]:
    held = hand.try_take(members)
    if held is None:
        return []
    hand.report(held, *(trained(t) for t in held.trials))
    hand.release(held)
    return held.trials


def outcome(context: Context, search: str) -> list[tuple[Any, ...]]:
    """All that may not depend on who trained what when."""
    rows = rank.leaderboard(context, search, limit=1000, order_by="number").rows
    return [(r.trial, r.state, r.score, r.folds, r.rank, r.epoch) for r in rows]


def test_trials_train_to_their_rungs_and_a_third_goes_on(context: Context) -> None:
    search, hand = rung_search(context, 9), Hand(context)
    held = hand.take(100)
    assert [(t.until, t.folds) for t in held.trials] == [(1, None)] * 9
    hand.report(held, *(trained(t) for t in held.trials))
    seen = view.search(context, search)
    assert seen.counts == {TrialState.WAITING: 3, TrialState.PRUNED: 6}
    hand.release(held)
    assert [t.until for t in hand.take(100).trials] == [3, 3, 3]


def test_everything_ends_and_counts_are_exact(context: Context) -> None:
    search, hand = rung_search(context), Hand(context)
    lengths = [len(trials) for trials in iter(lambda: work(hand), [])]
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert sum(seen.counts.values()) == 20
    assert set(seen.counts) == {TrialState.COMPLETED, TrialState.PRUNED}
    assert sum(lengths) > 20
    rows = rank.leaderboard(context, search).rows
    assert [r.rank for r in rows] == list(range(1, 21)), "pruned trials keep their score and their place"
    assert rows[0].epoch == EPOCHS
    assert max(r.attempts for r in rows) == 1, "a trial that went on was not begun again"
    assert sum(r.epoch for r in rows) <= 20 * EPOCHS / 3


@pytest.mark.parametrize("early_stop", [{"rungs": "asha"}, {"rungs": "hyperband", "race_folds": True},
                                        {"rungs": "none", "race_folds": True}])  # fmt: skip
@pytest.mark.parametrize("n_hands", [2, 3])
def test_the_number_of_workers_changes_nothing(context: Context, n_hands: int, early_stop: dict[str, Any]) -> None:
    alone, hand = rung_search(context, **early_stop), Hand(context)
    while work(hand):
        pass
    together, hands = rung_search(context, **early_stop), [Hand(context, f"h{i}") for i in range(n_hands)]
    draw = random.Random(n_hands)
    held: list[tuple[Hand, Lease]] = []
    while view.search(context, together).finished_at is None:
        hand = draw.choice(hands)
        taken = hand.try_take(draw.choice([3, 6, 30])) if draw.random() < 0.5 or not held else None
        if taken is not None:
            held.append((hand, taken))
        elif held:
            hand, lease = held.pop(draw.randrange(len(held)))
            for trial in draw.sample(lease.trials, len(lease.trials)):
                hand.report(lease, trained(trial))
            hand.release(lease)
    assert outcome(context, together) == outcome(context, alone)


class Trouble:
    """A search that is worked on while masters restart and workers fall silent, between any two calls."""

    def __init__(self, make_context: MakeContext, clock: Clock, seed: int) -> None:
        self.make_context, self.clock, self.draw = make_context, clock, random.Random(seed)
        self.context = make_context()

    def work_to_the_end(self, search: str) -> None:
        while view.search(self.context, search).finished_at is None:
            self.step()

    def step(self) -> None:
        hand = Hand(self.context)
        held = hand.try_take(self.draw.choice([3, 9, 30]))
        if held is None:
            return
        done = held.trials[: self.draw.randint(0, len(held.trials))]
        for trial in done:
            hand.report(held, trained(trial))
            if self.draw.random() < 0.3:
                hand.report(held, trained(trial))  # the answer was lost; the same again
            if self.draw.random() < 0.3:
                hand.context = self.context = self.make_context()
        if self.draw.random() < 0.3:
            sweep(self.context)  # it sees the lease, and then nothing of it
            self.clock.advance(61)
            sweep(self.context)
        elif self.draw.random() < 0.5:
            hand.release(held)
        else:
            hand.release(held)


@pytest.mark.parametrize("early_stop", [{"rungs": "asha"}, {"rungs": "asha", "race_folds": True}])
def test_restarts_silence_and_repeated_reports_change_no_verdict(
    make_context: MakeContext, clock: Clock, early_stop: dict[str, Any]
) -> None:
    calm = make_context(max_attempts=100)
    alone, hand = rung_search(calm, **early_stop), Hand(calm)
    while work(hand):
        pass
    for seed in range(3):
        trouble = Trouble(lambda **changes: make_context(max_attempts=100, **changes), clock, seed)
        search = rung_search(calm, **early_stop)
        trouble.work_to_the_end(search)
        assert outcome(calm, search) == outcome(calm, alone)


def test_state_goes_with_a_trial_that_goes_on(context: Context) -> None:
    search, hand = rung_search(context, 3), Hand(context)
    held = hand.take(100)
    for trial in held.trials:
        put_snapshot(context, held.lease, held.token, f"trial-{trial.number}.safetensors", b"where it stands")
    hand.report(
        held,
        *(trained(t) for t in held.trials),
        snapshots={t.number: f"trial-{t.number}.safetensors" for t in held.trials},
    )
    hand.release(held)
    (going_on,) = hand.take(100).trials
    assert going_on.resume == f"lease-{held.lease}_trial-{going_on.number}.safetensors"
    assert going_on.resume in files.names_in(files.snapshot_folder(context.settings, search))


def test_a_trial_left_behind_goes_on_when_later_ones_are_worse(context: Context) -> None:
    search, hand = rung_search(context, 18), Hand(context)
    better = {n: 4 - n / 5 for n in range(18)}
    held = hand.take(27)
    assert len(held.trials) == 9
    hand.report(held, *(trained(t, better) for t in held.trials))
    hand.release(held)
    assert rank.trial(context, search, 3).state is TrialState.PRUNED
    assert (
        rank.trial(context, search, 3).message
        == "Not among the best at its rung; it continues should later trials do worse."
    )
    while rank.trial(context, search, 3).state is TrialState.PRUNED:
        held = hand.take(100)
        hand.report(held, *(trained(t, better) for t in held.trials))
        hand.release(held)
    again = rank.trial(context, search, 3)
    assert (again.state, again.message, again.rank, again.finished_at) == (TrialState.WAITING, None, None, None)


def test_clearly_worse_trials_lose_their_last_folds_and_have_no_rank(context: Context) -> None:
    search, hand = rung_search(context, 24, rungs="none", race_folds=True), Hand(context)
    quality = {n: 0.9 + n % 5 / 100 if n % 3 else 0.1 for n in range(24)}
    while held := hand.try_take(9):
        hand.report(held, *(trained(t, quality) for t in held.trials))
        hand.release(held)
    rows = rank.leaderboard(context, search).rows
    dropped = [r for r in rows if r.state is TrialState.PRUNED]
    assert {9, 12, 15, 18, 21} <= {r.trial for r in dropped}
    assert min(r.trial for r in dropped) >= 9, "the first block has nobody to be held against"
    for row in dropped:
        assert (len(row.folds), row.rank) == (1, None)
        assert row.score is not None
        assert row.message == "Clearly worse than the best trial on its first 1 of 3 folds."
    assert [r.rank for r in rows if r.state is TrialState.COMPLETED] == list(range(1, 25 - len(dropped)))


def test_diverged_and_failed_trials_hold_nobody_up(context: Context) -> None:
    search, hand = rung_search(context, 9), Hand(context)
    held = hand.take(100)
    sent = [trained(t) if t.number < 2 else result(t.number, (), outcome="diverged" if t.number % 2 else "failed")
            for t in held.trials]  # fmt: skip
    hand.report(held, *sent)
    hand.release(held)
    while work(hand):
        pass
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert seen.counts == {TrialState.COMPLETED: 1, TrialState.PRUNED: 1, TrialState.DIVERGED: 3, TrialState.FAILED: 4}


def test_what_came_to_a_rung_keeps_its_score_when_the_search_is_stopped(context: Context) -> None:
    search, hand = rung_search(context, 18), Hand(context)
    held = hand.take(15)
    assert len(held.trials) == 5
    hand.report(held, *(trained(t) for t in held.trials[:4]))
    assert view.search(context, search).counts[TrialState.PAUSED] == 4
    shown = rank.trial(context, search, 0)
    assert (shown.score, shown.rank) == (None, None)
    assert shown.progress == pytest.approx(sum(shown.folds) / 3)  # type: ignore[arg-type]
    control.stop(context, search)
    seen = view.search(context, search)
    assert seen.counts[TrialState.PRUNED] == 4
    assert TrialState.PAUSED not in seen.counts
    assert seen.best is not None


def test_time_over_at_a_rung_ends_the_search_with_what_there_is(context: Context, clock: Clock) -> None:
    search = new_search(
        context, parameters=PARAMETERS, budget={"time": "1m"}, early_stop={"rungs": "asha"}, cv={"folds": 3}
    )
    hand = Hand(context)
    held = hand.take(12)
    hand.report(held, *(trained(t) for t in held.trials))
    clock.advance(timedelta(minutes=2).total_seconds())
    sweep(context)
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert seen.counts[TrialState.PRUNED] == 4


def test_a_trial_out_of_time_is_pruned_with_its_score_and_never_goes_on(context: Context) -> None:
    search, hand = rung_search(context, 9), Hand(context)
    held = hand.take(100)
    assert held.trial_time_s is None
    over = result(8, (0.99, 0.99, 0.99), outcome="pruned", message="time over")
    hand.report(held, *(trained(t) for t in held.trials[:8]), over)
    hand.release(held)
    while work(hand):
        pass
    last = rank.trial(context, search, 8)
    assert (last.state, last.rank, last.message) == (TrialState.PRUNED, 1, "time over")
    assert view.search(context, search).state is SearchState.COMPLETED


def test_stages_have_rungs_of_their_own(context: Context) -> None:
    stages = [{"epochs": 1, "trials": 6}, {"epochs": 9, "trials": 9}]
    search = new_search(
        context, method="coarse_to_fine", stages=stages, budget={}, cv={"folds": 3}, early_stop={"rungs": "asha"}
    )
    hand = Hand(context)
    first = hand.take(100)
    assert [t.until for t in first.trials] == [None] * 6
    hand.report(first, *(result(t.number, (0.5, 0.6, 0.7), epochs=1) for t in first.trials))
    hand.release(first)
    second = hand.take(100)
    assert [(t.number, t.until) for t in second.trials] == [(n, 1) for n in range(6, 15)]
    hand.report(second, *(trained(t) for t in second.trials))
    hand.release(second)
    while work(hand):
        pass
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert sum(seen.counts.values()) == 15
