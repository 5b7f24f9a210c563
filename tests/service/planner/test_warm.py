"""Warm starts: the old search's best come first, where the new space has them."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.space import Params, Space
from foldstep.service.planner.stages import first_stage, make_planner
from foldstep.service.planner.warm import as_point, warm_configurations
from tests.service.scenes import spec


def space(**parameters: Any) -> Space:
    return parse_spec(spec(parameters=parameters)).space


LR = {"low": 1e-3, "high": 1e-1, "log": True}
OLD: Params = {"lr": 0.01, "optimizer": "adam", "seed": 3, "epochs": 9}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"lr": LR}, {"lr": 0.01}),
        ({"lr": {"low": 0.05, "high": 0.1}}, None),
        ({"lr": LR, "optimizer": ["adam", "sgd"]}, {"lr": 0.01, "optimizer": "adam"}),
        ({"lr": LR, "optimizer": ["sgd"]}, None),
        ({"lr": LR, "epochs": 30}, {"lr": 0.01, "epochs": 30}),
        ({"lr": LR, "dropout": {"low": 0.0, "high": 0.5}}, {"lr": 0.01, "dropout": 0.0}),
        ({"lr": LR, "dropout": {"low": 0.1, "high": 0.5}}, None),
        ({"lr": LR, "optimizer": ["adam", "sgd"], "momentum": {"low": 0.1, "high": 0.9, "when": {"optimizer": "sgd"}}},
         {"lr": 0.01, "optimizer": "adam"}),
    ],
)  # fmt: skip
def test_a_configuration_is_a_point_where_the_space_contains_it(
    parameters: dict[str, Any], expected: Params | None
) -> None:
    assert as_point(OLD, space(**parameters)) == expected


def test_what_the_space_does_not_name_must_be_the_default() -> None:
    assert as_point({**OLD, "optimizer": "sgd"}, space(lr=LR)) is None


@pytest.mark.parametrize(("n_trials", "n_warm"), [(3, 0), (4, 1), (19, 4), (100, 5), (None, 5)])
def test_at_most_a_quarter_of_the_trials_and_five(n_trials: int | None, n_warm: int) -> None:
    ranked: list[Params] = [{"lr": 0.001 * (1 + i // 2)} for i in range(20)]
    found = warm_configurations(ranked, parse_spec(spec(parameters={"lr": LR})), n_trials=n_trials)
    assert found == [{"lr": 0.001 * (1 + i)} for i in range(n_warm)], "the best ones, each once, in their order"


@pytest.mark.parametrize("method", ["random", "sobol", "coarse_to_fine"])
def test_warm_trials_come_first_and_move_nobody_else(method: str) -> None:
    parsed = parse_spec(spec(method=method, parameters={"lr": LR}, budget={"trials": 8}))
    warm: list[Params] = [{"lr": 0.02}, {"lr": 0.03}]
    cold_plan, warm_plan = first_stage(parsed), first_stage(parsed, warm)
    n = cold_plan.trials or 0
    cold = make_planner(parsed, cold_plan).suggest(0, n, []).trials
    for cut in range(n + 1):
        planner = make_planner(parsed, warm_plan)
        begun = [*planner.suggest(0, cut, []).trials, *planner.suggest(cut, n - cut, []).trials]
        assert [t.params["lr"] for t in begun[:2]] == [0.02, 0.03]
        assert begun[2:] == list(cold[2:])


def test_a_grid_trains_every_point_anyway() -> None:
    with pytest.raises(SpecInvalid, match="warm_start: expected no warm_start with a grid"):
        parse_spec(spec(method="grid", parameters={"lr": [0.1, 0.2]}, warm_start="old"))
