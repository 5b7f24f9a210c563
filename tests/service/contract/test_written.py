"""A spec that is written out and read again is the same spec, whatever words its names are."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.service.contract.document import dump_document, load_document
from foldstep.service.contract.expansion import for_task
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.presets import PRESETS
from foldstep.service.contract.spec import Spec
from foldstep.service.contract.written import written

EVERYTHING: dict[str, Any] = {
    "name": "all", "method": "coarse_to_fine", "seed": 7,
    "data": {"dataset": "my table.csv", "target": "1e-4", "test": {"column": "no"}, "ignore": ["010", "null", "~", ""],
             "types": {"2024": "category", "true": "ignore"}, "missing": ["-", "n/a", "0x1"], "weight": "on: off"},
    "cv": {"folds": 3, "repeats": 2, "group": "2024-01-01", "stratify": False},
    "metric": {"name": "roc_auc", "target": 0.9},
    "parameters": {
        "lr": {"low": 1e-6, "high": 10, "log": True}, "width": {"low": 16, "high": 256, "step": 16},
        "weight_decay": {"low": 1e-6, "high": 0.1, "log": True, "or": [0]}, "optimizer": ["adam", "nesterov"],
        "momentum": {"low": 0.5, "high": 0.99, "step": 0.01, "when": {"optimizer": ["nesterov"]}},
        "dropout_2": {"value": 0.2, "when": {"depth": [2]}}, "depth": [1, 2], "batch_size": 128,
        "class_weight": {"value": {"yes": 2.0, "value": 1.0}},
    },
    "budget": {"time": "2h", "trial_time": 60, "failed": 3, "parallel": 2},
    "stages": [{"epochs": 1, "trials": 9}, {"epochs": 5, "trials": 3, "continue": True}],
    "border": {"extend": False}, "checks": {"before": True},
    "checkpoints": {"keep": "all"},
}  # fmt: skip


def again(spec: Spec) -> Spec:
    return parse_spec(load_document(dump_document(written(spec))).value)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"parameters": {"hidden": {"choices": [[64], [32, 16]]}, "epochs": 5}, "stages": [], "method": "random"},
        {"parameters": {"hidden": [8, 8]}, "cv": {"holdout": 0.25}, "metric": "log_loss"},
        {"parameters": {}, "budget": {}, "stages": [], "cv": {"column": "part"}},
        {"early_stop": {"rungs": "hyperband", "eta": 4, "race_folds": True}, "stages": [], "warm_start": "all-3fa9c1"},
        {"checkpoints": {"keep": 3}, "data": {"dataset": "d", "target": ["a", "b"]}, "metric": "r2",
         "parameters": {"lr": 0.1}},
    ],
)  # fmt: skip
def test_a_spec_is_the_same_when_it_is_read_again(change: dict[str, Any]) -> None:
    spec = parse_spec({**EVERYTHING, **change})
    assert again(spec) == spec


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_written_out_with_the_same_space(name: str) -> None:
    data = {"dataset": "d", "task": "regression"}
    spec = for_task(parse_spec({"name": "t", "data": data, "parameters": {"preset": name}}), "regression")
    found = for_task(again(spec), "regression")
    assert list(found.space.parameters.items()) == list(spec.space.parameters.items())
    assert found.preset is not None
    assert found.preset.name == name


@pytest.mark.parametrize(
    "word",
    ["no", "true", "1e-4", "010", "0o7", ".inf", "2024-01-01", "null", "~", "", "<<", "a: b", "# c", " x", "ä\nö", "'"],
)
def test_text_stays_text(word: str) -> None:
    for value in ({"key": word}, {word: 1}, {"list": [word, [word]]}):
        assert load_document(dump_document(value)).value == value


def test_the_number_of_trials_is_written_where_the_budget_says_nothing() -> None:
    plain = parse_spec({"name": "t", "data": {"dataset": "d"}, "parameters": {}})
    assert written(plain, trials=1)["budget"] == {"trials": 1}
    assert written(plain)["budget"] == {}
    timed = parse_spec({"name": "t", "data": {"dataset": "d"}, "parameters": {}, "budget": {"time": 5}})
    assert written(timed, trials=1)["budget"] == {"time": 5.0}
