"""How far a search is: epochs, trials, networks, pace and time left, from counts that are cheap to read."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.service.contract.report import TrialProgress
from foldstep.service.contract.spec import EarlyStopSpec
from foldstep.service.flow import control, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.sweep import sweep
from foldstep.service.planner.rungs import share_expected
from tests.service.flow.test_continue import work
from tests.service.scenes import LR, Clock, Hand, new_search, result

TEN = {"lr": LR, "epochs": 10}


def seen(context: Context, search: str) -> Any:
    return view.search(context, search).progress


def at(*epochs: int, score: float | None = None) -> list[TrialProgress]:
    return [TrialProgress(trial=trial, epoch=epoch, score=score) for trial, epoch in enumerate(epochs)]


def test_a_trial_in_training_counts_by_its_epochs(context: Context, clock: Clock) -> None:
    search = new_search(context, parameters=TEN)
    now = seen(context, search)
    assert (now.activity, now.epochs_done, now.epochs_planned, now.trials_done, now.trials_planned) == (
        "waiting", 0, 60, 0, 6,
    )  # fmt: skip
    hand = Hand(context)
    held = hand.take(4)
    assert [t.number for t in held.trials] == [0, 1]
    now = seen(context, search)
    assert (now.activity, now.members, now.time_left_s, now.leading) == ("starting", 4, None, None)
    clock.advance(2)
    hand.report(held, progress=at(3, 1, score=0.5), steps=1000)
    now = seen(context, search)
    assert (now.activity, now.epochs_done, now.epochs_planned, now.trials_done) == ("training", 4, 60, 0)
    assert (now.member_steps_per_s, now.time_left_s) == (500, pytest.approx(56 / 2))
    assert (now.leading.trial, now.leading.score) == (0, 0.5)
    clock.advance(1)
    hand.report(held, result(0, epochs=10), progress=at(3, 4))
    now = seen(context, search)
    assert (now.epochs_done, now.epochs_planned, now.trials_done, now.members) == (14, 60, 1, 2)


def test_the_pace_is_smoothed_and_that_of_several_workers_adds_up(context: Context, clock: Clock) -> None:
    search = new_search(context, parameters=TEN)
    hands = [Hand(context), Hand(context)]
    held = [hand.take(2) for hand in hands]
    for second in range(40):
        clock.advance(0.5)
        steps = 100 if second % 4 == 0 else 0
        hands[second % 2].report(held[second % 2], steps=steps)
    assert seen(context, search).member_steps_per_s == pytest.approx(50, rel=0.1)


def test_a_pause_is_no_slow_training(context: Context, clock: Clock) -> None:
    search = new_search(context, parameters=TEN)
    hand = Hand(context)
    held = hand.take(2)
    clock.advance(1)
    hand.report(held, progress=at(1), steps=100)
    hand.release(held)
    clock.advance(24 * 3600)
    assert seen(context, search).time_left_s is None, "nothing trains"
    held = hand.take(2)
    clock.advance(1)
    hand.report(held, progress=at(2), steps=100)
    now = seen(context, search)
    assert (now.member_steps_per_s, now.time_left_s) == (pytest.approx(100), pytest.approx(58))


def test_after_a_target_the_counts_are_those_of_what_was_trained(context: Context, clock: Clock) -> None:
    search = new_search(context, parameters=TEN, budget={"trials": 5000}, metric={"name": "accuracy", "target": 0.9})
    hand = Hand(context)
    held = hand.take(6)
    clock.advance(1)
    hand.report(held, result(0, (0.95, 0.95), epochs=10), progress=at(0, 4))
    whole = view.search(context, search)
    assert (whole.state, whole.counts["cancelled"]) == ("completed", 255)
    now = whole.progress
    assert (now.activity, now.trials_done, now.trials_planned, now.time_left_s) == ("ended", 1, 1, None)
    assert (now.epochs_done, now.epochs_planned) == (14, 14)
    assert [stage.finished for stage in whole.stages] == [1]


def test_after_a_time_budget_too(context: Context, clock: Clock) -> None:
    search = new_search(context, parameters=TEN, budget={"time": 60})
    hand = Hand(context)
    held = hand.take(6)
    clock.advance(10)
    hand.report(held, progress=at(5, 4, 4))
    now = seen(context, search)
    assert (now.epochs_planned, now.trials_planned, now.time_left_s) == (None, None, 50)
    clock.advance(50)
    hand.report(held, *(result(n, outcome="pruned", epochs=6) for n in range(3)))
    sweep(context)
    now = seen(context, search)
    assert (now.activity, now.trials_done, now.trials_planned, now.stopped_early) == ("ended", 3, 3, 3)
    assert (now.epochs_done, now.epochs_planned) == (18, 18)


def test_stages_to_come_count_and_a_trial_that_continues_has_its_epochs(context: Context) -> None:
    stages = [{"trials": 6, "epochs": 2}, {"trials": 3, "epochs": 5, "continue": True}]
    search = new_search(context, method="coarse_to_fine", budget={}, stages=stages)
    assert seen(context, search).epochs_planned == 6 * 2 + 3 * 5
    assert seen(context, search).trials_planned == 9
    hand = Hand(context)
    while seen(context, search).trials_done < 6:
        work(hand)
    held = hand.take(100)
    n_continued = sum(trial.resume is not None for trial in held.trials)
    assert n_continued > 0
    now = seen(context, search)
    assert (now.epochs_done, now.epochs_planned) == (12 + 2 * n_continued, 6 * 2 + 3 * 5)


def test_rungs_make_the_plan_an_expectation(context: Context) -> None:
    rules = {"rungs": "asha", "eta": 3, "min_epochs": 1}
    share = share_expected(EarlyStopSpec(**rules), 9)
    assert share == pytest.approx((1 + 2 / 3 + 6 / 9) / 9), "1 epoch all, up to 3 a third, up to 9 a ninth"
    search = new_search(context, parameters={"lr": LR, "epochs": 9}, early_stop=rules, budget={"trials": 27})
    assert seen(context, search).epochs_planned == round(27 * 9 * share)


def test_a_race_trains_the_first_folds_alone(context: Context) -> None:
    rules = {"rungs": "asha", "min_epochs": 3, "race_folds": True}
    search = new_search(context, parameters={"lr": LR, "epochs": 9}, early_stop=rules, cv={"folds": 5})
    held = Hand(context).take(10)
    assert {t.folds for t in held.trials} == {2}
    assert seen(context, search).members == 2 * len(held.trials)


def test_paused_and_checking(context: Context) -> None:
    search = new_search(context, checks={"before": True})
    assert seen(context, search).activity == "waiting"
    held = Hand(context).take(2)
    assert (held.purpose, seen(context, search).activity) == ("check", "checking")
    paused = new_search(context)
    control.pause(context, paused)
    assert seen(context, paused).activity == "paused"
