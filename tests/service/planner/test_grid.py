"""Grids: every point exactly once, conditions counted, huge grids untouched."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given

from foldstep.service.contract.parse import load_text, parse_spec
from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space
from foldstep.service.contract.stage import StagePlan
from foldstep.service.planner.grid import Grid, GridPlanner
from foldstep.service.planner.stages import first_stage, make_planner
from tests.service.planner.spaces import GRID_DISTRIBUTIONS, spaces, spec_of


def enumerated(space: Space) -> list[Params]:
    """The points in order by brute force: the oracle."""
    points: list[Params] = [{}]
    for name in space.ordered():
        steps = space.parameters[name].grid()
        assert steps is not None
        values = [steps[i] for i in range(len(steps))]
        points = [
            longer
            for point in points
            for longer in ([{**point, name: v} for v in values] if space.is_active(name, point) else [point])
        ]
    return points


@given(space=spaces(GRID_DISTRIBUTIONS))
def test_a_grid_is_what_nested_loops_give(space: Space) -> None:
    grid = Grid(space)
    points = enumerated(space)
    assert grid.n_points == len(points)
    assert [grid.point(i) for i in range(min(grid.n_points, 300))] == points[:300]


@given(space=spaces(GRID_DISTRIBUTIONS))
def test_each_point_comes_once(space: Space) -> None:
    grid = Grid(space)
    seen = [tuple(sorted((n, str(v)) for n, v in grid.point(i).items())) for i in range(min(grid.n_points, 300))]
    assert len(set(seen)) == len(seen)


STEPPED_WHEN = """
name: stepped
method: grid
data: {dataset: wine}
parameters:
  epochs: 2
  dropout: {low: 0.0, high: 0.5, step: 0.1}
  l1: {choices: [0.1, 0.2], when: {dropout: [0.3]}}
"""


def test_a_condition_names_a_step_as_users_write_it() -> None:
    """In binary three steps of 0.1 are 0.30000000000000004, which no condition names."""
    spec = parse_spec(load_text(STEPPED_WHEN))
    plan = first_stage(spec)
    assert plan.trials == 7
    points = [t.params for t in make_planner(spec, plan).suggest(0, 100, []).trials]
    assert [(p["dropout"], p.get("l1")) for p in points] == [
        (0.0, None), (0.1, None), (0.2, None), (0.3, 0.1), (0.3, 0.2), (0.4, None), (0.5, None)
    ]  # fmt: skip


def test_an_inactive_parameter_multiplies_nothing() -> None:
    space = Space(
        parameters={
            "momentum": Choices(choices=[0.5, 0.9], when={"optimizer": ["sgd"]}),
            "optimizer": Choices(choices=["adam", "sgd"]),
        }
    )
    grid = Grid(space)
    assert [grid.point(i) for i in range(grid.n_points)] == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.5},
        {"optimizer": "sgd", "momentum": 0.9},
    ]


def test_a_huge_grid_costs_nothing() -> None:
    space = Space(
        parameters={
            "seed": IntRange(low=0, high=2**62),
            "lr": FloatRange(low=1e-6, high=1.0, step=1e-6),
            "eps": Choices(choices=[1e-8, 1e-6], when={"seed": [7]}),
        }
    )
    tracemalloc.start()
    plan = first_stage(spec_of(space.parameters, method="grid", budget={"trials": 3}))
    grid = Grid(space)
    assert grid.n_points == 10**6 * (2**62 + 2)
    assert grid.point(grid.n_points - 1) == {"seed": 2**62, "lr": 1.0}
    assert grid.point(7 * 10**6) == {"seed": 7, "lr": 1e-6, "eps": 1e-8}
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert plan.trials == 3


def test_a_million_points_come_one_by_one() -> None:
    space = Space(parameters={n: IntRange(low=1, high=100) for n in ("width", "depth", "batch_size")})
    planner = GridPlanner(StagePlan(index=0, space=space, trials=None), seed=0)
    assert planner.total == 10**6
    last = planner.suggest(10**6 - 2, 10, []).trials
    assert [t.params["batch_size"] for t in last] == [99, 100]


def test_a_range_without_steps_has_no_grid() -> None:
    with pytest.raises(ValueError, match="lr: a grid needs"):
        Grid(Space(parameters={"lr": FloatRange(low=0.1, high=1.0)}))


def test_the_first_points_of_a_grid_are_a_budget() -> None:
    parameters = {"width": IntRange(low=1, high=3), "depth": IntRange(low=1, high=2)}
    plan = first_stage(spec_of(parameters, method="grid", budget={"trials": 4}))
    trials = GridPlanner(plan, seed=0).suggest(0, 99, []).trials
    expected = list(itertools.product([1, 2, 3], [1, 2]))[:4]
    assert [(t.params["width"], t.params["depth"]) for t in trials] == expected
