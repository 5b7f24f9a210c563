"""Enqueued trials shift a planner's own trials, and change none of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.methods import METHODS, Method
from foldstep.service.contract.space import Params, Space
from foldstep.service.contract.spec import MetricSpec, Spec
from foldstep.service.contract.stage import EnqueuedTrial, StagePlan, nth_free
from foldstep.service.planner.grid import Grid
from foldstep.service.planner.stages import first_stage, make_planner
from tests.service.planner.functions import MIXED
from tests.service.planner.spaces import GRID_DISTRIBUTIONS, spaces, spec_of

BLIND = [name for name, method in METHODS.items() if not method.learns and not method.enumerates]


@given(taken=st.lists(st.integers(0, 30), unique=True), place=st.integers(0, 30))
def test_places_and_indices_are_the_inverse_of_each_other(taken: list[int], place: int) -> None:
    plan = StagePlan(
        index=0, space=MIXED, trials=None, enqueued=[EnqueuedTrial(index=i, params={}) for i in sorted(taken)]
    )
    index = plan.own_index(place)
    assert index not in taken
    assert plan.n_own(index) == place
    assert [i for i in range(100) if i not in taken][place] == nth_free(sorted(taken), place) == index


@given(space=spaces(GRID_DISTRIBUTIONS), share=st.floats(0, 1))
def test_a_point_of_a_grid_is_found_again(space: Space, share: float) -> None:
    grid = Grid(space)
    index = min(int(share * grid.n_points), grid.n_points - 1)
    assert grid.index_of(grid.point(index)) == index


def own(method: Method, space: Space, taken: list[int], points: list[Params]) -> list[tuple[int, Params]]:
    """Number and configuration of the planner's own trials."""
    spec: Spec = spec_of(space.parameters, method=method, budget={"trials": 20}, metric=MetricSpec(name="log_loss"))
    enqueued = [EnqueuedTrial(index=i, params=p) for i, p in zip(taken, points, strict=False)]
    plan = first_stage(spec).model_copy(update={"enqueued": enqueued, "trials": 20, "continues": [], "first_trial": 7})
    split = [t for first in (0, 3, 9) for t in make_planner(spec, plan).suggest(first, 6 if first else 3, []).trials]
    assert split == make_planner(spec, plan).suggest(0, 15, []).trials
    return [(trial.number, trial.params) for trial in split]


@pytest.mark.parametrize("method", BLIND)
@given(taken=st.lists(st.integers(0, 14), unique=True, max_size=5).map(sorted))
def test_own_trials_are_those_without_enqueued_ones_under_later_numbers(method: Method, taken: list[int]) -> None:
    point = MIXED.from_unit({})
    shifted, plain = own(method, MIXED, taken, [point] * 5), own(method, MIXED, [], [])
    assert [number for number, _ in shifted] == [7 + i for i in range(15) if i not in taken]
    assert [params for _, params in shifted] == [params for _, params in plain[: len(shifted)]]
