"""Coarse to fine: narrowing on evidence and not on noise, extension of borders, survivors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.space import Choices, Fixed, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import Spec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.coarse_to_fine import MIN_SHARE, narrow
from foldstep.service.planner.evidence import Evidence, good_trials, judge
from foldstep.service.planner.random import random_params
from foldstep.service.planner.stages import StageEnd, end_stage, first_stage, make_planner
from tests.service.planner.spaces import finished, log10_of, spaces, spec_of

SPACE = Space(
    parameters={
        "lr": FloatRange(low=1e-6, high=10.0, log=True),
        "weight_decay": FloatRange(low=1e-6, high=1e-1, log=True),
        "width": IntRange(low=16, high=256, log=True),
        "dropout": FloatRange(low=0.0, high=0.8, step=0.1),
        "optimizer": Choices(choices=["adam", "sgd"]),
        "momentum": FloatRange(low=0.5, high=0.99, when={"optimizer": ["sgd"]}),
    }
)
Score = Callable[[Params], float | None]


def run_stage(spec: Spec, plan: StagePlan, score: Score, spread: float = 0.0) -> list[TrialRecord]:
    trials = make_planner(spec, plan).suggest(0, 10_000, []).trials
    return [finished(t.number, t.params, score(t.params), stage=t.stage, spread=spread) for t in trials]


def stages(spec: Spec, score: Score, spread: float = 0.0) -> list[tuple[StagePlan, list[TrialRecord], StageEnd]]:
    plan: StagePlan | None = first_stage(spec)
    history: list[TrialRecord] = []
    done = []
    while plan is not None:
        own = run_stage(spec, plan, score, spread)
        history += own
        end = end_stage(spec, plan, history, Direction.MAXIMIZE)
        done.append((plan, own, end))
        plan = end.next
    return done


def peak_at(lr: float) -> Score:
    """Best at a learning rate, worse by 1 for each factor of ten; adam is better than sgd by 3."""
    return lambda p: -abs(log10_of(p, "lr") - math.log10(lr)) - 3 * (p["optimizer"] == "sgd")


SPEC = spec_of(SPACE.parameters, method="coarse_to_fine", budget={"trials": 200}, seed=5)


def bounds(plan: StagePlan, name: str) -> tuple[float, float]:
    distribution = plan.space.parameters[name]
    assert isinstance(distribution, FloatRange | IntRange)
    return distribution.low, distribution.high


def test_the_stages_follow_the_spec_and_numbers_run_on() -> None:
    done = stages(SPEC, peak_at(1e-2))
    assert [(p.index, p.trials, p.epochs, p.first_trial) for p, _, _ in done] == [
        (0, 120, 1, 0), (1, 60, 5, 120), (2, 20, 30, 180),
    ]  # fmt: skip
    assert [r.number for _, own, _ in done for r in own] == list(range(200))
    assert done[-1][2].next is None


def test_a_range_narrows_around_a_peak_in_its_own_scale() -> None:
    plans = [plan for plan, _, _ in stages(SPEC, peak_at(1e-2))]
    widths = []
    for plan in plans:
        low, high = bounds(plan, "lr")
        assert low < 1e-2 < high
        widths.append(math.log10(high / low))
    assert widths[0] == pytest.approx(7)
    assert widths[1] < 3.5
    assert widths[2] < widths[1]


def test_a_parameter_without_influence_keeps_most_of_its_range() -> None:
    kept = []
    for seed in range(20):
        spec = SPEC.model_copy(update={"seed": seed})
        low, high = bounds(stages(spec, peak_at(1e-2))[1][0], "weight_decay")
        kept.append(math.log10(high / low) / 5)
    assert np.mean(kept) > 0.85
    assert min(kept) > 0.5


def test_the_optimum_beyond_the_range_is_reached_by_extension() -> None:
    spec = spec_of(
        {**SPACE.parameters, "lr": FloatRange(low=1e-6, high=1e-3, log=True)},
        method="coarse_to_fine",
        budget={"trials": 200},
    )
    done = stages(spec, peak_at(2e-2))
    assert bounds(done[1][0], "lr")[1] == pytest.approx(1e-2)
    assert bounds(done[2][0], "lr")[1] == pytest.approx(1e-1)
    [finding] = [f for f in done[0][2].findings if f.parameter == "lr"]
    assert finding.extended_to == pytest.approx(1e-2)
    assert done[2][0].extensions["lr"] == 2
    assert max(own[0].score or -9 for _, own, _ in done[2:]) > -1


def test_within_the_noise_nothing_narrows() -> None:
    """Scores differ by less than the folds do: the space stays whole."""
    quiet = spec_of(SPACE.parameters, method="coarse_to_fine", budget={"trials": 200}, border={"extend": False})
    peak = peak_at(1e-2)

    def low_peak(params: Params) -> float:
        return 0.01 * (peak(params) or 0.0)

    assert stages(quiet, low_peak, spread=1.0)[1][0].space == SPACE
    assert stages(quiet, low_peak, spread=0.0)[1][0].space != SPACE


def test_short_stages_keep_what_pays_late() -> None:
    """A rate that is best for one epoch is too high for thirty, and penalties keep from what has not happened yet."""

    def narrowed(name: str, score: Score, horizon: float) -> tuple[float, float]:
        trials = judge(Evidence.of(run_stage(SPEC, first_stage(SPEC), score)), Direction.MAXIMIZE)
        distribution = narrow(SPACE, trials, 5, horizon).parameters[name]
        assert isinstance(distribution, FloatRange)
        return distribution.low, distribution.high

    for name in ("dropout", "weight_decay"):
        high = SPACE.parameters[name].high  # type: ignore[union-attr]
        assert narrowed(name, lambda p, n=name: -float(p[n]), 1 / 30)[1] == high  # type: ignore[misc]
        assert narrowed(name, lambda p, n=name: -float(p[n]), 1.0)[1] < high  # type: ignore[misc]
    assert narrowed("lr", peak_at(1.0), 1 / 1000)[0] < 0.002 < narrowed("lr", peak_at(1.0), 1.0)[0]


def test_noise_is_measured_by_the_folds() -> None:
    trials = judge(Evidence.of([finished(i, {}, float(i), spread=3.0) for i in range(100)]), Direction.MINIMIZE)
    assert len(good_trials(trials, n_folds=1)) == 20
    wide = judge(Evidence.of([finished(i, {}, float(i), spread=60.0) for i in range(100)]), Direction.MINIMIZE)
    assert len(good_trials(wide, n_folds=1)) == 61
    assert len(good_trials(wide, n_folds=4)) == 31


def test_a_choice_goes_only_on_evidence() -> None:
    choices = Choices(choices=["a", "b", "rare"])
    space = Space(parameters={"optimizer": choices, "lr": FloatRange(low=0.0, high=1.0)})

    def after(n_trials: int) -> list[str]:
        records = []
        for i in range(n_trials):
            name = "rare" if i == 0 else "ab"[i % 2]
            records.append(
                finished(i, {"optimizer": name, "lr": 0.5}, {"a": 1.0, "b": 0.0, "rare": 0.0}[name] - i / 1e4)
            )
        narrowed = narrow(space, judge(Evidence.of(records), Direction.MAXIMIZE), 5).parameters["optimizer"]
        assert isinstance(narrowed, Choices)
        return [str(c) for c in narrowed.choices]

    five = Space(parameters={"optimizer": Choices(choices=list("abcde"))})
    trials = judge(
        Evidence.of([finished(i, {"optimizer": "abcde"[i // 5]}, -float(i)) for i in range(25)]), Direction.MAXIMIZE
    )
    assert narrow(five, trials, 5) == five  # of the best five trials, four choices are missing by chance easily
    assert after(60) == ["a", "rare"]  # b had its chance, the other was tried once
    assert after(8) == ["a", "b", "rare"]


def test_diverged_trials_push_a_range_away() -> None:
    def score(params: Params) -> float | None:
        return None if log10_of(params, "lr") > -2 else 1.0 - abs(log10_of(params, "lr") + 3) / 10

    assert bounds(stages(SPEC, score)[1][0], "lr")[1] < 0.2


def test_when_everything_diverges_the_space_stays() -> None:
    done = stages(SPEC, lambda _: None)
    assert [plan.space for plan, _, _ in done] == [SPACE] * 3
    assert [plan.survivors for plan, _, _ in done] == [[]] * 3
    assert not any(end.findings for _, _, end in done)


def test_the_best_go_on_first_with_the_new_epochs() -> None:
    (_, first, _), (plan, second, _), _ = stages(SPEC, peak_at(1e-2))
    best = sorted(first, key=lambda r: -(r.score or 0))[:20]
    assert len(plan.survivors) == 20
    assert [{**r.params, "epochs": 5} for r in best] == [r.params for r in second[:20]]


def with_stages(*stages: dict[str, Any]) -> Spec:
    return spec_of(SPACE.parameters, method="coarse_to_fine", budget={}, seed=5, stages=list(stages))


def test_a_stage_continues_the_trials_of_its_survivors() -> None:
    spec = with_stages(
        {"trials": 60, "epochs": 1}, {"trials": 30, "epochs": 3}, {"trials": 9, "epochs": 9, "continue": True}
    )
    (_, _, _), (plan, second, _), (last, *_) = stages(spec, peak_at(1e-2))
    assert (len(plan.survivors), plan.continues) == (10, [])
    best = sorted(second, key=lambda r: -(r.score or 0))[:3]
    assert last.continues == [r.number for r in best]
    planned = make_planner(spec, last).suggest(0, 9, []).trials
    assert [t.continues for t in planned] == [*last.continues, *[None] * 6]
    assert [t.params for t in planned[:3]] == [{**r.params, "epochs": 9} for r in best]
    assert [t.continues for t in make_planner(spec, last).suggest(2, 2, []).trials] == [last.continues[2], None]


def test_a_trial_that_did_not_train_its_whole_stage_is_not_continued() -> None:
    spec = with_stages({"trials": 30, "epochs": 2}, {"trials": 9, "epochs": 9, "continue": True})
    plan = first_stage(spec)
    records = run_stage(spec, plan, peak_at(1e-2))
    first, second, third, *_ = sorted(records, key=lambda r: -(r.score or 0))
    cut = [r.model_copy(update={"state": TrialState.PRUNED}) if r is second else r for r in records]
    coming = end_stage(spec, plan, cut, Direction.MAXIMIZE).next
    assert coming is not None
    assert coming.continues == [first.number, None, third.number]
    assert coming.survivors == [
        {n: v for n, v in r.params.items() if n in SPACE.parameters} for r in (first, second, third)
    ]


def test_a_fixed_number_of_epochs_stops_no_survivor() -> None:
    parameters = {"epochs": Fixed(value=40), "lr": FloatRange(low=1e-6, high=1.0, log=True)}
    spec = spec_of(parameters, method="coarse_to_fine", budget={"trials": 50})
    done = stages(spec, lambda p: -abs(log10_of(p, "lr") + 3))
    assert [len(plan.survivors) for plan, _, _ in done] == [0, 5, 1]
    assert [{r.params["epochs"] for r in own} for _, own, _ in done] == [{1}, {5}, {40}]


def test_a_least_share_of_a_range_always_stays() -> None:
    space = Space(parameters={"dropout": FloatRange(low=0.0, high=0.8)})

    def after(best: float) -> tuple[float, float]:
        records = [finished(i, {"dropout": best}, 1.0) for i in range(10)]
        narrowed = narrow(space, judge(Evidence.of(records), Direction.MAXIMIZE), 5).parameters["dropout"]
        assert isinstance(narrowed, FloatRange)
        return narrowed.low, narrowed.high

    assert after(0.4) == (pytest.approx(0.3), pytest.approx(0.5))
    assert after(0.8) == (pytest.approx(0.6), 0.8)
    assert after(0.0) == (0.0, pytest.approx(0.2))


def test_the_last_stage_names_its_borders_without_extending() -> None:
    spec = spec_of(
        {"lr": FloatRange(low=1e-6, high=1e-5, log=True)}, method="coarse_to_fine", budget={"trials": 300},
        border={"extensions": 0},
    )  # fmt: skip
    done = stages(spec, lambda p: log10_of(p, "lr"))
    for _, _, end in done:
        assert [(f.parameter, f.edge, f.extended_to) for f in end.findings] == [("lr", "high", None)]


def test_seeds_are_neither_narrowed_nor_extended() -> None:
    parameters = {"seed": IntRange(low=0, high=10**6), "lr": FloatRange(low=1e-6, high=1.0, log=True)}
    spec = spec_of(parameters, method="coarse_to_fine", budget={"trials": 100})
    assert {plan.space.parameters["seed"] for plan, _, _ in stages(spec, lambda p: float(str(p["seed"])))} == {
        parameters["seed"]
    }


@given(space=spaces(), seed=st.integers(0, 1000))
def test_a_narrowed_space_lies_in_the_old_one_and_keeps_a_share(space: Space, seed: int) -> None:
    generator = np.random.default_rng(seed)
    params = [random_params(space, seed, n) for n in range(40)]
    records = [finished(n, p, float(generator.random())) for n, p in enumerate(params)]
    narrowed = narrow(space, judge(Evidence.of(records), Direction.MAXIMIZE), 5)
    for n in range(20):
        point = random_params(narrowed, seed, n)
        assert all(space.parameters[name].contains(value) for name, value in point.items())
    for name, before in space.parameters.items():
        after = narrowed.parameters[name]
        if isinstance(before, FloatRange) and before.step is None and before.high > before.low:
            assert isinstance(after, FloatRange)
            assert before.to_unit(after.high) - before.to_unit(after.low) >= MIN_SHARE - 1e-6


def test_steps_and_whole_numbers_stay_what_they_are() -> None:
    for plan, own, _ in stages(SPEC, peak_at(1e-2)):
        for record in own:
            dropout, width = float(str(record.params["dropout"])), record.params["width"]
            assert dropout == pytest.approx(round(dropout * 10) / 10)
            assert isinstance(width, int)
        assert plan.space.parameters["momentum"].when == {"optimizer": ["sgd"]}


def test_planning_is_a_pure_function_of_the_history_in_any_order() -> None:
    plan = first_stage(SPEC)
    history = run_stage(SPEC, plan, peak_at(1e-2))
    assert end_stage(SPEC, plan, history, Direction.MAXIMIZE) == end_stage(
        SPEC, plan, history[::-1], Direction.MAXIMIZE
    )
