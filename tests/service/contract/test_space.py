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
    values = distribution.grid()
    grid = [] if values is None else [values[i] for i in range(len(values))]
    assert distribution.grid_size == (None if values is None else len(grid))
    assert all(distribution.contains(v) for v in grid)
    assert all(v not in grid[:i] for i, v in enumerate(grid))


def test_steps_are_counted_in_decimal() -> None:
    tenths = FloatRange(low=0.0, high=0.5, step=0.1)
    assert [tenths.value_at(i) for i in range(6)] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], "3 * 0.1 is 0.30000000000000004"
    assert tenths.from_unit(0.5) == 0.3
    assert tenths.contains(0.3)
    assert not tenths.contains(0.1 * 3)
    assert not tenths.contains(0.25)
    assert [tenths.index_of(v) for v in (0.3, 0.1 * 3, 0.5, 0.26)] == [3, 3, 5, 3]
    further = FloatRange(low=0.1, high=0.85, step=0.2)
    assert (further.n_values, further.value_at(1), further.value_at(3), further.value_at(4)) == (4, 0.3, 0.7, 0.9)
    assert further.value_at(-1) == -0.1


@given(low=st.floats(-1e6, 1e6), step=st.floats(1e-6, 1e3), n=st.integers(0, 1000))
def test_rounding_of_the_end_costs_no_step(low: float, step: float, n: int) -> None:
    """An end that somebody computed is a hair before its last step, or after it."""
    distribution = FloatRange(low=low, high=low + n * step, step=step)
    spacing = math.ulp(max(abs(low), abs(distribution.high)))
    if spacing > 1e-10 * step:
        return  # floating-point numbers are too far apart for such steps
    assert distribution.n_values == n + 1
    assert distribution.value_at(n) == pytest.approx(distribution.high, abs=1e-8 * step)
    assert distribution.value_at(n) <= distribution.high


@given(low=st.integers(-50, 50), step=st.integers(1, 9), n=st.integers(0, 30), rest=st.integers(0, 8))
def test_steps_of_whole_numbers(low: int, step: int, n: int, rest: int) -> None:
    distribution = IntRange(low=low, high=low + n * step + rest % step, step=step)
    values = [distribution.value_at(i) for i in range(distribution.n_values)]
    assert values == list(distribution.values()) == list(range(low, low + n * step + 1, step))
    assert [distribution.index_of(v) for v in values] == list(range(n + 1))


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
