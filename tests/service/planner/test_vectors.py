"""Points as rows of numbers, one way for all models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.space import Choices, FloatRange, IntRange, Space
from foldstep.service.planner.vectors import INACTIVE, expanded, rows, rows_of_units, unit
from tests.service.planner.spaces import spaces

SPACE = Space(
    parameters={
        "optimizer": Choices(choices=["sgd", "adam", "adamw"]),
        "momentum": FloatRange(low=0.5, high=0.9, when={"optimizer": ["sgd"]}),
        "norm": Choices(choices=["none", "batch"], when={"optimizer": ["adam"]}),
        "width": IntRange(low=1, high=4),
    }
)
NAMES = SPACE.searched()
POINTS = [{"optimizer": "sgd", "momentum": 0.6, "width": 1}, {"optimizer": "adam", "norm": "batch", "width": 4}]


def test_choices_are_numbers_and_what_is_not_there_is_inactive() -> None:
    found = rows(SPACE, NAMES, POINTS)
    assert found == pytest.approx(np.array([[0, 0.25, INACTIVE, 0.125], [1, INACTIVE, 1, 0.875]]))
    assert rows(SPACE, NAMES, []).shape == (0, 4)


@pytest.mark.parametrize("inactive", [0.0, INACTIVE])
def test_each_choice_has_a_column(inactive: float) -> None:
    found = expanded(SPACE, NAMES, rows(SPACE, NAMES, POINTS), inactive)
    first = [1, 0, 0, 0.25, inactive, inactive, 0.125]
    assert found == pytest.approx(np.array([first, [0, 1, 0, INACTIVE, 0, 1, 0.875]]))


@given(space=spaces(), seed=st.integers(0, 1000))
def test_units_become_the_rows_of_their_points(space: Space, seed: int) -> None:
    plain = Space(parameters={n: d.model_copy(update={"when": None}) for n, d in space.parameters.items()})
    names = plain.searched()
    units = np.random.default_rng(seed).random((5, len(names)))
    points = [plain.from_unit(dict(zip(names, u, strict=True))) for u in units.tolist()]
    own, of_points = rows_of_units(plain, names, units), rows(plain, names, points)
    for column, name in enumerate(names):
        if isinstance(plain.parameters[name], Choices):
            assert own[:, column].tolist() == of_points[:, column].tolist()
        else:
            assert own[:, column].tolist() == units[:, column].tolist()
            assert all(0 <= x <= 1 for x in of_points[:, column])


def test_rounding_does_not_carry_a_place_outside() -> None:
    assert unit(FloatRange(low=0.5, high=0.9), 0.9000001) == 1.0
    assert unit(FloatRange(low=0.5, high=0.9), 0.4999999) == 0.0
