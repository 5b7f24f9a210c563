"""What every planner must do, whatever its method.

The statistical tests use fixed seeds, so they pass or fail for good. Their false-alarm rate is what a change of
the random streams would risk: 1e-4 for each test.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foldstep.service.contract.methods import METHODS, Method
from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import MetricSpec, Spec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.trial import PlannedTrial
from foldstep.service.planner.base import Planner
from foldstep.service.planner.stages import first_stage, make_planner
from tests.service.planner.spaces import ANY_DISTRIBUTIONS, GRID_DISTRIBUTIONS, log10_of, spaces, spec_of

DRAWN = [name for name, method in METHODS.items() if not method.enumerates]
BLIND = [name for name in DRAWN if not METHODS[name].learns]  # to results
FALSE_ALARM = 1e-4


def spec_for(method: Method, space: Space, *, seed: int = 0, trials: int = 40) -> Spec:
    return spec_of(
        space.parameters, method=method, seed=seed, budget={"trials": trials}, metric=MetricSpec(name="log_loss")
    )


def planner_for(method: Method, space: Space, *, seed: int = 0, trials: int = 40) -> Planner:
    spec = spec_for(method, space, seed=seed, trials=trials)
    return make_planner(spec, first_stage(spec))


def searched_params(trial: PlannedTrial, space: Space) -> Params:
    return {n: v for n, v in trial.params.items() if n in space.parameters}


def any_space(method: Method) -> st.SearchStrategy[Space]:
    return spaces(GRID_DISTRIBUTIONS if METHODS[method].enumerates else ANY_DISTRIBUTIONS)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data(), seed=st.integers(0, 2**63 - 1))
def test_trials_lie_in_the_space_and_are_numbered_in_order(method: Method, data: st.DataObject, seed: int) -> None:
    space = data.draw(any_space(method))
    trials = planner_for(method, space, seed=seed).suggest(0, 12, []).trials
    assert [t.number for t in trials] == list(range(len(trials)))
    for trial in trials:
        assert space.contains(searched_params(trial, space))
        assert trial.params["seed"] == seed


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
def test_suggestions_do_not_depend_on_how_they_are_asked_for(method: Method, data: st.DataObject) -> None:
    space = data.draw(any_space(method))
    cuts = sorted(data.draw(st.lists(st.integers(0, 12), max_size=4)))
    whole = planner_for(method, space).suggest(0, 12, []).trials
    split: list[PlannedTrial] = []
    for first, end in itertools.pairwise([0, *cuts, 12]):
        split += planner_for(method, space).suggest(first, end - first, []).trials
    assert split == whole
    backwards = planner_for(method, space)
    assert [backwards.suggest(i, 1, []).trials[0] for i in reversed(range(len(whole)))] == whole[::-1]


SPACE = Space(
    parameters={
        "lr": FloatRange(low=1e-6, high=10.0, log=True),
        "dropout": FloatRange(low=0.0, high=0.8),
        "width": IntRange(low=8, high=39),
        "optimizer": Choices(choices=["sgd", "adam", "adamw"]),
    }
)
GRID_SPACE = Space(
    parameters={
        "lr": Choices(choices=[0.1, 0.2, 0.3]),
        "optimizer": Choices(choices=["sgd", "adam"]),
        "momentum": FloatRange(low=0.5, high=0.9, step=0.1, when={"optimizer": ["sgd"]}),
    }
)


@pytest.mark.parametrize("method", DRAWN)
def test_the_seed_decides(method: Method) -> None:
    def params(seed: int) -> list[Params]:
        return [searched_params(t, SPACE) for t in planner_for(method, SPACE, seed=seed).suggest(0, 10, []).trials]

    assert params(1) == params(1)
    assert not [p for p in params(1) if p in params(2)]


@pytest.mark.parametrize("method", METHODS)
def test_the_budget_is_exact(method: Method) -> None:
    space = GRID_SPACE if METHODS[method].enumerates else SPACE
    spec = spec_for(method, space, trials=7)
    planner = make_planner(spec, first_stage(spec))
    total = planner.total
    assert total == (spec.planned_stages()[0].trials if METHODS[method].is_staged else 7)
    assert len(planner.suggest(0, 1000, []).trials) == total
    assert planner.suggest(total, 5, []).trials == []
    assert [t.number for t in planner.suggest(total - 1, 5, []).trials] == [total - 1]


@pytest.mark.parametrize("method", METHODS)
def test_a_stage_plan_survives_storage(method: Method) -> None:
    space = GRID_SPACE if METHODS[method].enumerates else SPACE
    spec = spec_for(method, space)
    plan = first_stage(spec)
    stored = StagePlan.model_validate(json.loads(plan.model_dump_json()))
    assert stored == plan
    assert make_planner(spec, stored).suggest(0, 20, []).trials == make_planner(spec, plan).suggest(0, 20, []).trials


@pytest.mark.parametrize("method", METHODS)
def test_numbers_run_on_in_later_stages_and_epochs_are_set(method: Method) -> None:
    space = GRID_SPACE if METHODS[method].enumerates else SPACE
    spec = spec_for(method, space, seed=9)
    plan = StagePlan(index=1, space=space, trials=5, epochs=17, first_trial=30, batch=4)
    trials = make_planner(spec, plan).suggest(0, 10, []).trials
    assert [(t.number, t.stage, t.params["epochs"], t.params["seed"]) for t in trials] == [
        (30 + i, 1, 17, 9) for i in range(5)
    ]


@pytest.mark.parametrize("method", DRAWN)
def test_a_searched_seed_is_not_replaced(method: Method) -> None:
    space = Space(parameters={"seed": IntRange(low=100, high=1000)})
    assert all(100 <= int(str(t.params["seed"])) <= 1000 for t in planner_for(method, space).suggest(0, 9, []).trials)


UNIFORM_IN: dict[str, Callable[[Params], float]] = {
    "lr": lambda p: (log10_of(p, "lr") + 6) / 7,  # even in the exponent
    "dropout": lambda p: float(str(p["dropout"])) / 0.8,
}


@pytest.mark.parametrize("method", BLIND)
@pytest.mark.parametrize("name", UNIFORM_IN)
def test_ranges_are_even_in_their_scale(method: Method, name: str) -> None:
    trials = planner_for(method, SPACE, trials=2000).suggest(0, 1024, []).trials
    assert stats.kstest([UNIFORM_IN[name](t.params) for t in trials], "uniform").pvalue > FALSE_ALARM


@pytest.mark.parametrize("method", BLIND)
@pytest.mark.parametrize("name", ["width", "optimizer"])
def test_each_value_is_as_likely_as_another(method: Method, name: str) -> None:
    trials = planner_for(method, SPACE, trials=2000).suggest(0, 1024, []).trials
    counts = np.unique([str(t.params[name]) for t in trials], return_counts=True)[1]
    assert len(counts) == (32 if name == "width" else 3)
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


@pytest.mark.parametrize("method", BLIND)
def test_parameters_are_drawn_independently(method: Method) -> None:
    trials = planner_for(method, SPACE, trials=2000).suggest(0, 1024, []).trials
    units = {n: [d.to_unit(t.params[n]) for t in trials] for n, d in SPACE.parameters.items()}
    for a, b in itertools.combinations(units, 2):
        assert stats.spearmanr(units[a], units[b]).pvalue > FALSE_ALARM


@pytest.mark.parametrize("method", [name for name in BLIND if str(METHODS[name].planner).startswith("random:")])
def test_another_parameter_changes_no_other_draw(method: Method) -> None:
    more = Space(parameters={"eps": FloatRange(low=0.1, high=1.0), **SPACE.parameters})
    before, after = (planner_for(method, space).suggest(0, 20, []).trials for space in (SPACE, more))
    assert [searched_params(t, SPACE) for t in before] == [searched_params(t, SPACE) for t in after]


def test_sobol_fills_a_space_more_evenly_than_random() -> None:
    def discrepancy(method: Method) -> Any:
        trials = planner_for(method, SPACE, trials=256).suggest(0, 256, []).trials
        points = [[UNIFORM_IN[name](t.params) for name in UNIFORM_IN] for t in trials]
        return stats.qmc.discrepancy(points)

    assert discrepancy("sobol") < discrepancy("random") / 10


def test_without_a_number_of_trials() -> None:
    def total(method: Method, **budget: Any) -> int | None:
        spec = spec_of(SPACE.parameters, method=method, budget=budget)
        return make_planner(spec, first_stage(spec)).total

    assert total("random") == total("sobol") == 50
    assert total("random", time="1h") is None
    assert total("random", time="1h", trials=8) == 8
    unlimited = spec_of(SPACE.parameters, method="random", budget={"time": 60.0})
    [far] = make_planner(unlimited, first_stage(unlimited)).suggest(10**9, 1, []).trials
    assert far.number == 10**9
