"""Tests for ranges of `0 or log`: drawn as often as stated, proposed by every method, narrowed, never a border.

The statistical test fails by chance in 1 of 10,000 changes of the random streams.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.errors import Fault, SpecInvalid
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.space import EXTRA_SHARE, Either, FloatRange, IntRange, Space
from foldstep.service.contract.spec import BorderSpec, MetricSpec
from foldstep.service.planner.borders import extend_borders, find_borders
from foldstep.service.planner.coarse_to_fine import narrow
from foldstep.service.planner.either import from_split, split, to_split
from foldstep.service.planner.evidence import Evidence, judge
from foldstep.service.planner.grid import Grid
from foldstep.service.planner.points import n_points
from foldstep.service.planner.propose import propose
from foldstep.service.planner.random import random_params
from foldstep.service.planner.request import BatchRequest
from foldstep.service.planner.stages import first_stage, make_planner
from tests.service.planner.spaces import finished, spaces, spec_of, with_extra
from tests.service.planner.spaces import float_ranges as any_range

PENALTY = Either(range=FloatRange(low=1e-6, high=0.1, log=True), extra=[0.0])
LEARNING = [name for name, method in METHODS.items() if method.learns]


def parsed(**given: Any) -> Any:
    spec = {"name": "a", "data": {"dataset": "wine"}, "parameters": {"weight_decay": given}}
    return parse_spec(spec).space.parameters["weight_decay"]


def faults(**given: Any) -> list[Fault]:
    with pytest.raises(SpecInvalid) as refused:
        parsed(**given)
    return list(refused.value.faults)


def test_a_range_with_or_is_read() -> None:
    assert parsed(low=1e-6, high=0.1, log=True, **{"or": [0]}) == PENALTY
    assert parsed(low="1e-6", high=0.1, log="yes", **{"or": "0"}) == PENALTY
    stepped = parsed(low=0.1, high=0.3, step=0.1, **{"or": [0, 1]})
    assert stepped == Either(range=FloatRange(low=0.1, high=0.3, step=0.1), extra=[0.0, 1.0])


@pytest.mark.parametrize(
    ("given", "path", "code"),
    [
        ({"low": 0.1, "high": 1, "or": [0.5]}, "parameters.weight_decay.or.0", "out_of_domain"),
        ({"low": 0.1, "high": 1, "or": [0, -1]}, "parameters.weight_decay.or.1", "out_of_domain"),
        ({"low": 0.1, "high": 1, "or": [0, "none"]}, "parameters.weight_decay.or.1", "out_of_domain"),
        ({"low": 0.1, "high": 1, "or": [0, 0.0]}, "parameters.weight_decay.or", "duplicate_choice"),
        ({"low": 0.1, "high": 1, "or": []}, "parameters.weight_decay.or", "empty_choices"),
        ({"choices": [0.1, 1], "or": [0]}, "parameters.weight_decay.or", "wrong_form"),
        ({"value": 0.1, "or": [0]}, "parameters.weight_decay.or", "wrong_form"),
        ({"low": 0, "high": 1, "log": True, "or": [0]}, "parameters.weight_decay.low", "log_not_positive"),
    ],
)
def test_faults_of_or(given: dict[str, Any], path: str, code: str) -> None:
    assert [(fault.path, fault.code) for fault in faults(**given)] == [(path, code)]


def test_a_condition_names_values_of_one_sort() -> None:
    parameters: dict[str, Any] = {"l1": {"low": 0.1, "high": 0.2, "step": 0.1, "or": [0]}}
    spec = {"name": "a", "data": {"dataset": "wine"}, "parameters": parameters}
    parameters["dropout"] = {"low": 0, "high": 0.5, "when": {"l1": [0.1, 0.2]}}
    parse_spec(spec)
    parameters["dropout"]["when"] = {"l1": [0, 0.1]}
    with pytest.raises(SpecInvalid, match="either values of or of l1 or values of its range"):
        parse_spec(spec)


@given(distribution=with_extra(any_range()), u=st.floats(0, 1, exclude_max=True))
def test_units_and_values_correspond(distribution: Either, u: float) -> None:
    value = distribution.from_unit(u)
    assert distribution.contains(value)
    assert (value in distribution.extra) == (u < EXTRA_SHARE)
    assert distribution.from_unit(distribution.to_unit(value)) == pytest.approx(value, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("method", ["random", "sobol", "coarse_to_fine"])
def test_an_extra_value_is_drawn_with_the_stated_probability(method: str) -> None:
    spec = spec_of({"weight_decay": PENALTY}, method=method, budget={"trials": 4000})
    trials = make_planner(spec, first_stage(spec)).suggest(0, 2000, []).trials
    n_zero = sum(t.params["weight_decay"] == 0.0 for t in trials)
    assert stats.binomtest(n_zero, len(trials), EXTRA_SHARE).pvalue > 1e-4
    others = [math.log10(float(str(t.params["weight_decay"]))) for t in trials if t.params["weight_decay"] != 0.0]
    assert stats.kstest([(x + 6) / 5 for x in others], "uniform").pvalue > 1e-4


def test_a_grid_has_the_extra_values_first() -> None:
    space = Space(parameters={"width": Either(range=IntRange(low=4, high=8, step=2), extra=[1, 100])})
    grid = Grid(space)
    assert [grid.point(i)["width"] for i in range(grid.n_points)] == [1, 100, 4, 6, 8]
    assert n_points(space) == 5
    assert n_points(Space(parameters={"weight_decay": PENALTY})) is None


@given(space=spaces(), seed=st.integers(0, 1000))
def test_the_split_space_stands_for_the_same_configurations(space: Space, seed: int) -> None:
    there = split(space)
    params = random_params(space, seed, 0)
    assert there.contains(to_split(params, space))
    assert from_split(to_split(params, space), space) == params
    drawn = from_split(random_params(there, seed, 1), space)
    assert space.contains(drawn)


@pytest.mark.parametrize("method", LEARNING)
@pytest.mark.parametrize("best", [0.0, 1e-3])
def test_methods_learn_whether_the_extra_value_or_the_range_is_better(method: str, best: float) -> None:
    """Of 60 proposals after 40 random trials more than half are of the sort whose loss is low."""

    def loss(value: float) -> float:
        if best == 0.0:
            return 0.0 if value == 0.0 else 1.0
        return 2.0 if value == 0.0 else abs(math.log10(value) - math.log10(best)) / 5

    space = Space(parameters={"weight_decay": PENALTY, "dropout": FloatRange(low=0.0, high=0.5)})
    history = []
    for number in range(100):
        batch, place = divmod(number, 20)
        if number < 40:
            params = random_params(space, 3, number)
        else:
            if place == 0:
                request = BatchRequest(
                    method=method, space=space, number=batch, size=20, seed=3, direction=Direction.MINIMIZE,
                    first_trial=0, history=history,
                )  # fmt: skip
                proposed = propose(request)
            params = proposed[place]
        assert space.contains(params)
        history.append(finished(number, params, loss(float(str(params["weight_decay"])))))
    zeros = sum(record.params["weight_decay"] == 0.0 for record in history[40:])
    assert zeros > 30 if best == 0.0 else zeros < 30


def records_of(values: list[float], losses: list[float]) -> Evidence:
    return Evidence.of(
        [finished(i, {"weight_decay": v}, loss) for i, (v, loss) in enumerate(zip(values, losses, strict=True))]
    )


def test_an_extra_value_is_no_border() -> None:
    space = Space(parameters={"weight_decay": PENALTY})
    zero_is_best = records_of([0.0, 1e-4, 1e-3, 1e-2], [0.1, 0.5, 0.6, 0.7])
    assert find_borders(space, zero_is_best, Direction.MINIMIZE) == []
    high_is_best = records_of([0.0, 1e-4, 1e-3, 0.09], [0.9, 0.5, 0.6, 0.1])
    (border,) = find_borders(space, high_is_best, Direction.MINIMIZE)
    assert (border.edge, border.limit) == ("high", 0.1)
    wider = extend_borders([border], space, BorderSpec(), {}).space.parameters["weight_decay"]
    assert isinstance(wider, Either)
    assert wider.range.high > 0.1
    assert wider.extra == [0.0]


def test_an_extension_over_an_extra_value_takes_it_into_the_range() -> None:
    either = Either(range=FloatRange(low=0.01, high=0.1, log=True), extra=[0.11], when={"norm": ["none"]})
    records = records_of([0.02, 0.03, 0.095], [0.5, 0.6, 0.1])
    (border,) = find_borders(Space(parameters={"weight_decay": either}), records, Direction.MINIMIZE)
    wider = extend_borders([border], Space(parameters={"weight_decay": either}), BorderSpec(), {}).space
    assert isinstance(wider.parameters["weight_decay"], FloatRange)
    assert wider.parameters["weight_decay"].contains(0.11)
    assert wider.parameters["weight_decay"].when == {"norm": ["none"]}


@pytest.mark.parametrize(("is_zero_good", "kept"), [(True, True), (False, False)])
def test_coarse_to_fine_narrows_the_range_and_drops_a_bad_extra_value(is_zero_good: bool, kept: bool) -> None:
    values = [0.0] * 20 + [10 ** (-6 + 5 * i / 59) for i in range(60)]
    losses = [(0.0 if is_zero_good else 5.0) + i / 1000 for i in range(20)]
    losses += [abs(math.log10(v) + 3.0) for v in values[20:]]
    trials = judge(records_of(values, losses), Direction.MINIMIZE)
    narrowed = narrow(Space(parameters={"weight_decay": PENALTY}), trials, 5).parameters["weight_decay"]
    assert narrowed.contains(0.0) == kept
    if not kept:
        assert isinstance(narrowed, FloatRange)
        assert narrowed.low > 1e-6
        assert narrowed.contains(1e-3)


def test_a_search_over_such_a_range_has_a_metric_and_is_stored() -> None:
    spec = spec_of({"weight_decay": PENALTY}, metric=MetricSpec(name="log_loss"))
    assert type(spec).model_validate_json(spec.model_dump_json()) == spec
