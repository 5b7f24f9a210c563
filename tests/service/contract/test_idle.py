"""Hyperparameters without an effect are said, each in one sentence; `tests/worker/train/test_idle.py` has the proof."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.expansion import for_task
from foldstep.service.contract.idle import MOST_NOTES, NEEDS, idle_notes
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.presets import PRESETS

LEFT = {"low": 0.1, "high": 0.9}


def notes_of(parameters: dict[str, Any], task: Task = "classification") -> list[str]:
    spec = parse_spec({"name": "t", "data": {"dataset": "d", "task": task}, "parameters": parameters})
    return list(idle_notes(for_task(spec, task), task))


@pytest.mark.parametrize(
    ("parameters", "note"),
    [
        ({"embedding_size": 6},
         "embedding_size has no effect in any trial: it needs number_embedding periodic, plr, pbld or piecewise; set "
         "that, or leave embedding_size out."),
        ({"momentum": LEFT, "optimizer": ["adam", "sgd", "adamw"]},
         "momentum has no effect in 2 of 3 values of optimizer (adam, adamw): it needs optimizer sgd, momentum, "
         "nesterov, rmsprop or muon; give it a condition: when: {optimizer: [sgd]}."),
        ({"dropout_3": LEFT, "depth": 2},
         "dropout_3 has no effect in any trial: it needs 3 hidden layers; set that, or leave dropout_3 out."),
        ({"dropout_3": LEFT, "depth": [1, 2, 3, 4, 5]},
         "dropout_3 has no effect in 2 of 5 values of depth (1, 2): it needs 3 hidden layers; give it a condition: "
         "when: {depth: [3, 4, 5]}."),
        ({"dropout": [0.0, 0.1, 0.2, 0.3], "depth": 3, "dropout_schedule": "coslog"},
         "dropout_schedule has no effect in 1 of 4 values of dropout (0.0): it needs dropout or input_dropout above 0; "
         "give it a condition: when: {dropout: [0.1, 0.2, 0.3]}."),
        ({"momentum": {**LEFT, "when": {"optimizer": ["sgd", "adam"]}}, "optimizer": ["sgd", "adam", "rmsprop"]},
         "momentum has no effect in 1 of 3 values of optimizer (adam): it needs optimizer sgd, momentum, nesterov, "
         "rmsprop or muon; give it a condition: when: {optimizer: [sgd]}."),
        ({"momentum": LEFT, "units": ["plain", "glu"],
          "optimizer": {"choices": ["sgd", "nesterov"], "when": {"units": ["plain"]}}},
         "momentum has no effect without optimizer: it needs optimizer sgd, momentum, nesterov, rmsprop or muon; give "
         "it a condition: when: {optimizer: [sgd, nesterov]}."),
        ({"hidden": [*([n] for n in range(1, 301)), [1, 2, 3]], "dropout_3": LEFT},
         "dropout_3 has no effect in 300 of 301 values of hidden ([1], [2], [3], [4], [5], [6], [7], [8], and 292 "
         "more): it needs 3 hidden layers; give it a condition: when: {hidden: [[1, 2, 3]]}."),
        ({"dropout_1": 0.1, "dropout_2": LEFT, "dropout": 0.3},
         "dropout has no effect in any trial: it needs a hidden layer without a dropout of its own; set that, or leave "
         "dropout out."),
        ({"activation": "silu", "units": "maxout"},
         "activation has no effect in any trial: it needs units plain or glu; set that, or leave activation out."),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_said(parameters: dict[str, Any], note: str) -> None:
    assert notes_of(parameters) == [note]


@pytest.mark.parametrize(
    "parameters",
    [
        {"momentum": {**LEFT, "when": {"optimizer": ["sgd"]}}, "optimizer": ["adam", "sgd"]},
        {"embedding_size": 4, "momentum": 0.5, "optimizer": "muon"},  # a default asks for nothing
        {"weight_decay": {"low": 0, "high": 0.1}, "decay_schedule": "coslog"},
        {"dropout_schedule": "coslog", "dropout_2": 0.3},
        {"depth": 3, "dropout_3": 0.3, "dropout_schedule": "coslog"},
        {"hidden": [8, 16], "width_2": 8, "skip": "residual"},
        {"width_1": {"low": 8, "high": 64}, "width_2": {"low": 32, "high": 128}, "skip": "residual"},
        {"width": {"low": 8, "high": 64}, "depth": [2, 3], "skip": "residual"},
        {
            "units": ["plain", "glu"],
            "optimizer": {"choices": ["adam", "sgd"], "when": {"units": ["plain"]}},
            "beta1": LEFT,
        },
        {"dropout_1": [0.1, 0.2], "dropout_2": {**LEFT, "when": {"dropout_1": [0.2]}}, "dropout": 0.3},
        {"loss": ["focal", "hinge"], "focal_gamma": {**LEFT, "when": {"loss": ["focal"]}}},
        *({"preset": name} for name in PRESETS),
    ],
    ids=repr,
)
def test_what_has_an_effect_is_not(parameters: dict[str, Any]) -> None:
    assert notes_of(parameters) == []


def test_beside_a_preset_only_what_is_written_is_looked_at() -> None:
    assert PRESETS["realmlp"].written("classification")["embedding_frequencies"]
    (note,) = notes_of({"preset": "realmlp", "number_embedding": "none", "rho": 0.5})
    assert note.startswith("rho has no effect in any trial: it needs optimizer rmsprop")


def test_the_task_decides_which_losses_there_are() -> None:
    assert notes_of({"label_smoothing": 0.1}) == []
    (note,) = notes_of({"label_smoothing": 0.1}, "regression")
    assert "it needs loss cross_entropy" in note


def test_of_many_notes_the_rest_is_counted() -> None:
    idle = {"rho": 0.5, "momentum": 0.5, "muon_lr": 0.1, "bias_decay_factor": 0.5, "decay": 0.1, "decay_epochs": 2,
            "cycle_epochs": 2, "cycle_growth": 2, "lr_floor": 0.1, "cooldown": 0.2, "focal_gamma": 1.0,
            "quantile_noise": 0.1}  # fmt: skip
    notes = notes_of(idle)
    assert len(notes) == MOST_NOTES + 1
    assert notes[-1] == "2 more parameters have no effect, or not in all trials."
    assert idle.keys() <= NEEDS.keys()


def test_a_space_of_very_many_combinations_is_not_searched_through() -> None:
    many = [[1 + i % 60_000, 1 + i // 60_000] for i in range(90_000)]
    assert notes_of({"hidden": many, "skip": "residual"}) == []
    layers = {f"width_{i}": list(range(8, 18)) for i in range(1, 21)}
    condition = {"when": {"optimizer": ["sgd"]}}
    assert (
        notes_of({**layers, "depth": 20, "optimizer": ["adam", "sgd"], "skip": {"choices": ["residual"], **condition}})
        == []
    )
