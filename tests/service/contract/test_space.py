"""Distributions: the unit interval and back, in each one's own scale."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.space import Choices, Distribution, Fixed, FloatRange, IntRange, Space

UNIT = st.floats(0, 1, exclude_max=True)
DISTRIBUTIONS: list[Distribution] = [
    Fixed(value="relu"),
    Choices(choices=["a", "b", "c"]),
    Choices(choices=[[8], [16, 8]]),
    FloatRange(low=-2.0, high=3.0),
    FloatRange(low=1e-6, high=10.0, log=True),
    FloatRange(low=0.0, high=0.5, step=0.1),
    FloatRange(low=0.3, high=0.3),
    IntRange(low=1, high=1),
    IntRange(low=1, high=9),
    IntRange(low=16, high=256, log=True),
    IntRange(low=2, high=11, step=3),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=repr)
@given(u=UNIT)
def test_from_unit_stays_inside_and_to_unit_comes_back(distribution: Distribution, u: float) -> None:
    value = distribution.from_unit(u)
    assert distribution.contains(value)
    assert distribution.from_unit(distribution.to_unit(value)) == pytest.approx(value) or isinstance(value, str | list)
    assert 0 <= distribution.to_unit(value) <= 1


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=repr)
def test_grid_values_are_values(distribution: Distribution) -> None:
    grid = distribution.grid() or []
    assert all(distribution.contains(v) for v in grid)
    assert all(v not in grid[:i] for i, v in enumerate(grid))


def test_a_log_range_is_even_in_the_exponent() -> None:
    distribution = FloatRange(low=1e-6, high=10.0, log=True)
    assert math.log10(distribution.from_unit(0.5)) == pytest.approx(-2.5)
    assert distribution.from_unit(0.0) == pytest.approx(1e-6)
    assert distribution.from_unit(1.0) == 10.0


def test_a_circle_of_conditions_is_named() -> None:
    space = Space(parameters={"a": Fixed(value=1, when={"b": [1]}), "b": Fixed(value=1, when={"a": [1]})})
    with pytest.raises(ValueError, match="a, b"):
        space.ordered()


def test_a_child_of_an_inactive_parent_is_inactive() -> None:
    space = Space(
        parameters={
            "c": Choices(choices=[1, 2], when={"b": [1]}),
            "b": Choices(choices=[1, 2], when={"a": ["x"]}),
            "a": Choices(choices=["x", "y"]),
        }
    )
    assert space.from_unit({"a": 0.9, "b": 0.0, "c": 0.0}) == {"a": "y"}
    assert space.contains({"a": "y"})
    assert not space.contains({"a": "y", "c": 1})
