"""A search from its first trial to its end, for every reason to end."""

from __future__ import annotations

import math

import pytest

from foldstep.service.contract.errors import IllegalTransition, NotFound
from foldstep.service.contract.lease import Backend, LeaseRequest
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.flow import control, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.finish import TIME_TO_REPORT
from foldstep.service.flow.lease import FEW, LEASES_AHEAD, SHARE_OF_TIME, lease
from foldstep.service.flow.sweep import sweep
from tests.service.conftest import MakeContext
from tests.service.scenes import LR, Clock, Hand, new_search, result


def test_budget_of_trials_is_met_exactly(context: Context) -> None:
    search = new_search(context, budget={"trials": 7})
    assert view.search(context, search).state is SearchState.QUEUED
    assert sorted(Hand(context).work_all()) == list(range(7))
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert seen.counts == {TrialState.COMPLETED: 7}
    assert seen.trials == 7
    assert seen.finished_at is not None
    assert Hand(context).try_take() is None


def test_score_is_the_mean_of_the_folds_and_spread_their_deviation(context: Context) -> None:
    search = new_search(context, cv={"folds": 3})
    hand = Hand(context)
    held = hand.take()
    hand.report(held, result(held.trials[0].number, (0.1, 0.2, 0.4)))
    trial = rank.trial(context, search, held.trials[0].number)
    assert trial.score == math.fsum((0.1, 0.2, 0.4)) / 3
    assert trial.spread == pytest.approx(0.15275252316519466, rel=1e-12)
    assert trial.folds == [0.1, 0.2, 0.4]
    assert trial.state is TrialState.COMPLETED
    assert trial.worker == "hand"


def test_missing_fold_score_makes_a_trial_diverged(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    hand.report(held, result(0, (0.5, None)))
    trial = rank.trial(context, search, 0)
    assert (trial.state, trial.score, trial.folds) == (TrialState.DIVERGED, None, [0.5, None])


@pytest.mark.parametrize("scores", [(math.inf, 1.0, 1.0, 1.0), (math.nan, 1.0, 1.0, 1.0)])
def test_scores_that_are_not_finite_diverge(context: Context, scores: tuple[float, ...]) -> None:
    search = new_search(context, cv={"folds": 4}, metric="log_loss")
    hand = Hand(context)
    hand.report(hand.take(), result(0, scores))
    assert rank.trial(context, search, 0).state is TrialState.DIVERGED


def test_search_ends_at_its_target(context: Context) -> None:
    search = new_search(context, metric={"name": "accuracy", "target": 0.9}, budget={"trials": 100})
    hand = Hand(context)
    held = hand.take(4)
    assert len(held.trials) == 2
    reply = hand.report(held, result(0, (0.95, 0.95)))
    assert reply.stop == [1]
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert "target" in seen.notes[-1]
    assert set(seen.counts) == {TrialState.COMPLETED, TrialState.CANCELLED}


def test_target_of_a_metric_where_less_is_better(context: Context) -> None:
    search = new_search(context, metric={"name": "log_loss", "target": 0.1})
    hand = Hand(context)
    held = hand.take(4)
    hand.report(held, result(0, (0.2, 0.2)))
    assert view.search(context, search).state is SearchState.RUNNING
    hand.report(held, result(1, (0.05, 0.05)))
    assert view.search(context, search).state is SearchState.COMPLETED


def test_a_time_budget_ends_with_what_is_reported_by_then(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"time": "10s"})
    hand = Hand(context)
    held = hand.take(4)
    assert held.time_left_s == 10
    clock.advance(9)
    assert hand.report(held).time_left_s == 1
    clock.advance(1)
    sweep(context)
    assert hand.try_take() is None, "nothing is given out any more"
    assert view.search(context, search).state is SearchState.RUNNING, "what was in training is awaited"
    assert hand.report(held, result(0, outcome="pruned")).time_left_s == 0
    hand.release(held)
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert seen.counts[TrialState.PRUNED] == 1
    assert set(seen.counts) == {TrialState.PRUNED, TrialState.CANCELLED}
    assert "time budget" in seen.notes[-1]


def test_leases_of_a_time_budget_take_a_part_of_what_is_left_at_the_pace_so_far(context: Context, clock: Clock) -> None:
    new_search(context, budget={"time": "100s"})
    hand = Hand(context)
    held = hand.take(1000)
    assert len(held.trials) == FEW, "nothing is known yet"
    clock.advance(2)  # two trials a second
    hand.report(held, *(result(t.number) for t in held.trials))
    hand.release(held)
    held = hand.take(1000)
    assert len(held.trials) == 2 * 98 * SHARE_OF_TIME
    clock.advance(95)
    hand.report(held, *(result(t.number) for t in held.trials))
    hand.release(held)
    assert len(hand.take(1000).trials) == 1, "large networks take minutes"


def test_nobody_waits_long_for_a_worker_that_ignores_the_end_of_the_time(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"time": "10s"})
    hand = Hand(context)
    held = hand.take(2)
    clock.advance(10 + TIME_TO_REPORT.total_seconds() - 1)
    hand.report(held)
    sweep(context)
    assert view.search(context, search).state is SearchState.RUNNING
    clock.advance(1)
    sweep(context)
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert set(seen.counts) == {TrialState.CANCELLED}
    assert hand.report(held).stop == [0]


def test_pause_stops_the_clock_of_a_time_budget(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"time": "10s"})
    hand = Hand(context)
    held = hand.take(2)
    clock.advance(5)
    control.pause(context, search)
    clock.advance(20)
    assert hand.report(held).time_left_s == 5, "what is in training while a search is paused is not cut either"
    clock.advance(20)
    control.resume(context, search)
    hand.release(held)
    clock.advance(4.9)
    sweep(context)
    assert view.search(context, search).state is SearchState.RUNNING
    clock.advance(0.2)
    sweep(context)
    assert view.search(context, search).state is SearchState.COMPLETED


def test_failures_past_the_budget_fail_the_search(context: Context) -> None:
    search = new_search(context, budget={"trials": 10, "failed": 2})
    hand = Hand(context)
    held = hand.take(6)
    hand.report(held, result(0, (), outcome="failed", message="out of memory"))
    assert view.search(context, search).state is SearchState.RUNNING
    hand.report(held, result(1, (), outcome="failed", message="out of disk"))
    seen = view.search(context, search)
    assert seen.state is SearchState.FAILED
    assert "out of disk" in seen.notes[-1]


def test_search_of_failed_trials_alone_fails(context: Context) -> None:
    search = new_search(context, budget={"trials": 1})
    hand = Hand(context)
    hand.report(hand.take(), result(0, (), outcome="failed", message="no"))
    assert view.search(context, search).state is SearchState.FAILED


def test_search_of_diverged_trials_says_so(context: Context) -> None:
    search = new_search(context, budget={"trials": 2})
    hand = Hand(context)
    hand.report(hand.take(4), result(0, (), outcome="diverged"), result(1, (None, None), outcome="diverged"))
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert "Every trial diverged" in seen.notes[-1]
    assert "lasted longest is trial 1 (lr 0." in seen.notes[-1]
    assert "Fold 0 diverged in epoch 1, as 1 other fold did" in seen.notes[-1]
    assert seen.best is None


def test_exhausted_space_completes_and_says_so(context: Context) -> None:
    search = new_search(context, method="grid", parameters={"lr": [0.1, 0.01]}, budget={"trials": 50})
    assert sorted(Hand(context).work_all()) == [0, 1]
    seen = view.search(context, search)
    assert seen.state is SearchState.COMPLETED
    assert seen.notes[-1] == "The space is exhausted: it has 2 points, fewer than the 50 trials of the budget."


def test_a_space_of_one_point_is_said_as_one(context: Context) -> None:
    search = new_search(context, method="grid", parameters={"lr": [0.1]}, budget={"trials": 50})
    Hand(context).work_all()
    assert view.search(context, search).notes[-1].startswith("The space is exhausted: it has 1 point, fewer")


@pytest.mark.parametrize(
    ("backends", "precision", "said"),
    [
        (("compiled", "eager"), "float32", "(cpu compiled, cpu eager)"),
        (("compiled amx", "eager"), "float32", "(cpu compiled, cpu eager)"),
        (("compiled", "compiled"), "bfloat16", None),
        (("compiled", "compiled amx"), "float32", None),  # where nothing is rounded the two train alike
        (("compiled", "compiled amx"), ["float32", "bfloat16"], "(cpu compiled, cpu compiled amx)"),
        (("eager", None), "float32", None),  # a worker that does not say how it trains
    ],
)
def test_a_search_says_when_workers_of_different_kinds_trained_it(
    context: Context, backends: tuple[Backend | None, Backend | None], precision: object, said: str | None
) -> None:
    parameters = {"lr": [0.1, 0.01], "precision": precision}
    search = new_search(context, method="grid", parameters=parameters, budget={"trials": 2, "parallel": 1})
    for backend in backends:
        hand = Hand(context, backend=backend)
        held = hand.take()
        hand.report(held, *(result(trial.number) for trial in held.trials))
        hand.release(held)
    found = view.search(context, search)
    assert found.state is SearchState.COMPLETED
    told = [note.removeprefix("Workers of different kinds trained this search ") for note in found.notes]
    assert [note.partition(":")[0] for note in told if note.startswith("(")] == ([said] if said else [])


def test_stages_follow_each_other_with_their_epochs(context: Context) -> None:
    stages = [{"epochs": 1, "trials": 6}, {"epochs": 4, "trials": 3}]
    search = new_search(context, method="coarse_to_fine", budget={}, stages=stages)
    hand = Hand(context)
    done: list[int] = []
    epochs: set[object] = set()
    while held := hand.try_take(4):
        done += [t.number for t in held.trials]
        epochs |= {t.params["epochs"] for t in held.trials}
        stage = view.search(context, search).stage
        assert {t.params["epochs"] for t in held.trials} == {stages[stage]["epochs"]}
        hand.report(held, *(result(t.number, (0.5 + t.number / 100, 0.5)) for t in held.trials))
        hand.release(held)
    assert sorted(done) == list(range(9))
    assert epochs == {1, 4}
    seen = view.search(context, search)
    assert (seen.state, seen.stage, seen.n_stages, seen.trials) == (SearchState.COMPLETED, 1, 2, 9)
    assert [(s.epochs, s.trials, s.finished) for s in seen.stages] == [(1, 6, 6), (4, 3, 3)]


def test_next_stage_waits_for_the_last_trial_of_the_one_before(context: Context) -> None:
    new_search(
        context, method="coarse_to_fine", budget={}, stages=[{"epochs": 1, "trials": 2}, {"epochs": 2, "trials": 2}]
    )
    first, second = Hand(context), Hand(context)
    held, other = first.take(2), second.take(2)
    first.report(held, result(held.trials[0].number))
    assert first.try_take() is None
    second.report(other, result(other.trials[0].number))
    assert first.take().trials[0].params["epochs"] == 2


def test_paused_search_leases_nothing_but_trains_on(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    control.pause(context, search)
    assert hand.try_take() is None
    assert hand.report(held, result(0)).stop == []
    assert rank.trial(context, search, 0).state is TrialState.COMPLETED
    control.resume(context, search)
    assert sorted(hand.work_all()) == [1, 2, 3, 4, 5]
    assert view.search(context, search).state is SearchState.COMPLETED


def test_search_whose_last_trial_ends_while_paused_completes_when_resumed(context: Context) -> None:
    search = new_search(context, budget={"trials": 1})
    hand = Hand(context)
    held = hand.take()
    control.pause(context, search)
    hand.report(held, result(0))
    assert view.search(context, search).state is SearchState.PAUSED
    control.resume(context, search)
    assert view.search(context, search).state is SearchState.COMPLETED


def test_stopped_search_tells_its_workers(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(4)
    hand.report(held, result(0))
    control.stop(context, search)
    assert hand.report(held, result(1)).stop == [1]
    seen = view.search(context, search)
    assert seen.state is SearchState.STOPPED
    assert seen.counts[TrialState.COMPLETED] == 1
    assert seen.best is not None
    assert seen.best.trial == 0


@pytest.mark.parametrize("act", [control.pause, control.resume, control.stop])
def test_search_that_is_over_moves_no_more(context: Context, act: object) -> None:
    search = new_search(context)
    control.stop(context, search)
    with pytest.raises(IllegalTransition, match="stopped"):
        act(context, search)  # type: ignore[operator]


@pytest.mark.parametrize("act", [control.pause, control.resume, control.stop, control.delete, view.search])
def test_unknown_search_is_not_found(context: Context, act: object) -> None:
    with pytest.raises(NotFound, match="no search nope"):
        act(context, "nope")  # type: ignore[operator]


def test_unknown_worker_is_not_found(context: Context) -> None:
    with pytest.raises(NotFound, match="no worker 99"):
        lease(context, LeaseRequest(worker=99, members=1))


def test_searches_share_the_workers(context: Context, clock: Clock) -> None:
    older = new_search(context)
    clock.advance(1)
    newer = new_search(context)
    hands = [Hand(context) for _ in range(3)]
    served = [hand.take(2).search for hand in hands]
    assert served == [older, newer, older]


def test_waiting_search_is_served_when_another_has_nothing_to_give(context: Context, clock: Clock) -> None:
    new_search(context, budget={"trials": 5, "parallel": 1})
    clock.advance(1)
    other = new_search(context)
    Hand(context).take(100)
    assert Hand(context).take(100).search == other
    assert Hand(context).take(2).search == other


def test_parallel_bounds_the_trials_in_training(context: Context) -> None:
    new_search(context, budget={"trials": 10, "parallel": 3})
    first, second = Hand(context), Hand(context)
    held = first.take(4)
    assert len(held.trials) == 2
    assert len(second.take(100).trials) == 1
    assert second.try_take(100) is None
    first.report(held, result(0))
    assert len(second.take(100).trials) == 1


def test_work_is_shared_evenly_at_the_end(context: Context) -> None:
    new_search(context, budget={"trials": 16})
    hands = [Hand(context) for _ in range(4)]
    sizes = [len(hand.take(1000).trials) for hand in hands]
    assert sizes == [4, 3, 3, 2]


def test_trials_of_a_lease_share_packs_where_enough_wait(context: Context) -> None:
    new_search(context, parameters={"lr": LR, "batch_size": [16, 32]}, budget={"trials": 200})
    hand = Hand(context)
    for _ in range(4):
        assert len({t.params["batch_size"] for t in hand.take(20).trials}) == 1


def test_planning_ahead_is_bounded(make_context: MakeContext) -> None:
    context = make_context(plan_ahead=8)
    search = new_search(context, budget={"trials": 1000})
    Hand(context).take(4)
    ahead = 8 if context.database.is_sqlite else LEASES_AHEAD * 2  # of the two trials that a worker is given at once
    assert view.search(context, search).counts == {TrialState.WAITING: ahead - 2, TrialState.RUNNING: 2}


def test_search_goes_on_when_the_master_restarts_between_any_two_calls(make_context: MakeContext) -> None:
    search = new_search(make_context(), budget={"trials": 5})
    hand = Hand(make_context())
    done: list[int] = []
    for _ in range(5):
        hand.context = make_context()
        held = hand.take(2)
        hand.context = make_context()
        hand.report(held, result(held.trials[0].number))
        hand.context = make_context()
        hand.release(held)
        done.append(held.trials[0].number)
    assert sorted(done) == list(range(5))
    assert view.search(make_context(), search).state is SearchState.COMPLETED


def test_best_value_at_an_edge_is_found_and_its_range_extended(context: Context) -> None:
    stages = [{"epochs": 1, "trials": 24}, {"epochs": 2, "trials": 2}]
    search = new_search(context, method="coarse_to_fine", budget={}, stages=stages)
    hand = Hand(context)
    while held := hand.try_take(16):
        better = {t.number: math.log10(float(t.params["lr"])) / 10 + 0.6 for t in held.trials}  # type: ignore[arg-type]
        hand.report(held, *(result(n, (score, score + 1e-4)) for n, score in better.items()))
        hand.release(held)
    found = {finding.parameter: finding for finding in view.borders(context, search)}
    assert found["lr"].edge == "high"
    assert found["lr"].extended_to is not None
    seen = view.search(context, search)
    assert seen.stages[0].borders[0].sentence.startswith("lr")
    assert seen.stages[1].space.parameters["lr"].high > LR["high"]  # type: ignore[union-attr, operator]
