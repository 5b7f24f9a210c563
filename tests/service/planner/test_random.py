"""Tests for random search over small finite spaces: no point twice, and the draws of before where none came twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.space import Choices, Distribution, Fixed, FloatRange, IntRange, Params, Space
from foldstep.service.planner.points import n_points
from foldstep.service.planner.random import MANY, draw, draw_many, random_params
from foldstep.service.planner.stages import first_stage, make_planner, n_possible
from tests.service.planner.spaces import spec_of

SMALL: dict[str, Distribution] = {
    "optimizer": Choices(choices=["adam", "sgd"]),
    "depth": IntRange(low=1, high=3),
    "momentum": FloatRange(low=0.0, high=0.9, step=0.3, when={"optimizer": ["sgd"]}),
}


def trials_of(
    parameters: dict[str, Distribution], count: int, *, warm: list[Params] | None = None, **spec: Any
) -> list[Params]:
    made = spec_of(parameters, method="random", **spec)
    trials = make_planner(made, first_stage(made, warm or [])).suggest(0, count, []).trials
    return [{n: v for n, v in trial.params.items() if n in parameters} for trial in trials]


def keys(points: list[Params]) -> list[str]:
    return [json.dumps(point, sort_keys=True) for point in points]


@pytest.mark.parametrize("seed", range(20))
def test_every_point_comes_once_and_then_the_search_ends(seed: int) -> None:
    points = trials_of(SMALL, 1000, seed=seed, budget={"trials": 1000})
    assert n_points(Space(parameters=SMALL)) == 3 * (1 + 4)
    assert len(points) == len(set(keys(points))) == 15
    assert all(Space(parameters=SMALL).contains(point) for point in points)


def test_a_draw_that_did_not_come_before_keeps_its_place() -> None:
    space = Space(parameters=SMALL)
    points = trials_of(SMALL, 15, seed=3)
    drawn = [random_params(space, 3, number) for number in range(15)]
    new = [place for place, point in enumerate(drawn) if point not in points[:place]]
    assert 3 < len(new) < 15
    assert [points[place] for place in new] == [drawn[place] for place in new]


@pytest.mark.parametrize(
    "unlimited", [{"lr": FloatRange(low=0.1, high=1.0)}, {"width": IntRange(low=1, high=MANY + 1)}]
)
def test_other_spaces_are_drawn_as_they_are(unlimited: dict[str, Distribution]) -> None:
    spec = spec_of(unlimited, method="random", budget={"trials": 500})
    points = trials_of(unlimited, 500, budget={"trials": 500})
    assert points == [random_params(Space(parameters=unlimited), 0, number) for number in range(500)]
    assert n_possible(spec) is None


def test_the_configurations_of_a_warm_start_do_not_come_again() -> None:
    warm: list[Params] = [{"optimizer": "adam", "depth": 2}, {"optimizer": "sgd", "depth": 1, "momentum": 0.3}]
    points = trials_of(SMALL, 100, warm=warm, budget={"trials": 100})
    assert points[:2] == warm
    assert len(set(keys(points))) == len(points) == 15


def test_a_space_without_anything_to_search_has_one_point() -> None:
    assert trials_of({"lr": Fixed(value=0.1)}, 10) == [{"lr": 0.1}]
    assert n_possible(spec_of({}, method="random")) == 1


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 40), st.integers(0, 30), st.text(max_size=8))
def test_many_draws_at_once_are_the_same(seed: int, first: int, n: int, name: str) -> None:
    assert draw_many(seed, first, first + n, name) == [draw(seed, number, name) for number in range(first, first + n)]
