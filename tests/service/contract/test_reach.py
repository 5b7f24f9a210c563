"""Which values go together in a trial: nothing that no trial has, and everything that some trial has."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.reach import combinations
from foldstep.service.contract.space import Space


def space_of(**parameters: Any) -> Space:
    return parse_spec({"name": "t", "data": {"dataset": "iris"}, "parameters": parameters}).space


def test_a_condition_keeps_values_apart() -> None:
    space = space_of(
        optimizer=["adam", "lbfgs"], batch_size={"choices": [8, 16], "when": {"optimizer": "adam"}}, lr=[0.1, 0.2]
    )
    assert list(combinations(space, ["batch_size"])) == [
        {"optimizer": "adam", "batch_size": 8},
        {"optimizer": "adam", "batch_size": 16},
        {"optimizer": "lbfgs"},
    ]


def test_of_a_range_there_are_its_ends_and_what_conditions_ask_for() -> None:
    space = space_of(depth={"low": 1, "high": 9}, norm={"choices": ["batch"], "when": {"depth": [4]}})
    assert list(combinations(space, ["norm", "depth"])) == [{"depth": 1}, {"depth": 9}, {"depth": 4, "norm": "batch"}]


@given(seed=st.integers(0, 2**32 - 1))
def test_every_trial_has_one_of_them(seed: int) -> None:
    space = space_of(
        optimizer=["adam", "sgd", "lbfgs"],
        norm={"choices": ["batch", "none"], "when": {"optimizer": ["sgd", "lbfgs"]}},
        batch_size={"choices": [2, 3], "when": {"norm": "batch"}},
        loss="cross_entropy",
    )
    point = dict(zip(space.parameters, np.random.default_rng(seed).random(4), strict=True))
    trial = space.from_unit(point)
    del trial["loss"]
    assert trial in list(combinations(space, ["batch_size"]))
