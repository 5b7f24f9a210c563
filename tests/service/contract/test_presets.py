"""Presets: their settings are those published, what is written beside them wins, and everything is said."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.expansion import for_task, preset_notes, sets
from foldstep.service.contract.first_point import first_point, first_point_notes
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.presets import PRESETS
from foldstep.service.contract.rules import embedding_faults
from foldstep.service.contract.space import Fixed
from foldstep.service.contract.spec import Spec


def spec_of(parameters: dict[str, Any], **data: Any) -> Spec:
    return parse_spec({"name": "t", "data": {"dataset": "d", **data}, "parameters": parameters})


def faults_of(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(SpecInvalid) as refused:
        spec_of(parameters)
    return [(fault.code, fault.path) for fault in refused.value.faults]


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_all_that_is_written(name: str, task: Task) -> None:
    assert set(sets(name, task)) == set(PRESETS[name].written(task))


@pytest.mark.parametrize("written", [{"nothing": 1}, {"lr": -1.0}, {"init": "none"}])
def test_a_preset_with_what_there_is_not_raises(monkeypatch: pytest.MonkeyPatch, written: dict[str, Any]) -> None:
    monkeypatch.setitem(PRESETS, "plain", type(PRESETS["plain"])("", "", written))
    with pytest.raises(ValueError, match="the preset plain has"):
        spec_of({"preset": "plain"})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_space_of_networks(name: str) -> None:
    space = spec_of({"preset": name}).space
    for u in (0.0, 0.3, 0.99):
        assert resolve(space.from_unit(dict.fromkeys(space.parameters, u))).hidden


def test_plain_is_one_configuration_as_published() -> None:
    space = spec_of({"preset": "plain"}).space
    assert all(isinstance(distribution, Fixed) for distribution in space.parameters.values())
    hp = resolve(space.from_unit({}))
    published = ((256, 256, 256), 0.001, 256, 256, "adam", "constant", "quantile", "relu")
    assert (
        hp.hidden,
        hp.lr,
        hp.batch_size,
        hp.epochs,
        hp.optimizer,
        hp.schedule,
        hp.scaler,
        hp.activation[0],
    ) == published


@pytest.mark.parametrize(("task", "activation", "lr", "smoothing"), [
    ("classification", "selu", 0.04, 0.1), ("regression", "mish", 0.2, 0.0)
])  # fmt: skip
def test_realmlp_is_as_published(task: Task, activation: str, lr: float, smoothing: float) -> None:
    hp = resolve(spec_of({"preset": "realmlp"}, task=task).space.from_unit({}))
    assert (hp.activation, hp.lr, hp.label_smoothing) == ((activation,) * 3, lr, smoothing)
    assert (hp.hidden, hp.epochs, hp.batch_size, hp.beta2, hp.weight_decay) == ((256,) * 3, 256, 256, 0.95, 0.02)
    assert (hp.parametrization, hp.schedule, hp.dropout_schedule) == ("ntk", "coslog", "flat_cosine")
    assert (hp.number_embedding, hp.input_scale, hp.scaler) == ("pbld", "trained", "robust_clip")
    assert (hp.clamp_output, hp.dropout) == ("train" if task == "regression" else "none", (0.15,) * 3)


def test_what_is_written_wins_and_is_said() -> None:
    spec = spec_of({"preset": "plain", "lr": 0.01, "batch_size": 256, "width": 64})
    hp = resolve(spec.space.from_unit({}))
    assert (hp.lr, hp.hidden) == (0.01, (64, 64))
    notes = "\n".join(preset_notes(spec, "regression"))
    assert "The preset plain sets for regression: activation relu, init uniform" in notes
    assert "lr is 0.01, as written, in place of 0.001 of the preset plain." in notes
    assert "hidden of the preset plain is left out, for the layers are written in another form." in notes
    assert "batch_size is" not in notes
    assert "Unlike what is published" not in notes
    assert "no greatest number of epochs" in "\n".join(preset_notes(spec_of({"preset": "tabpack"}), "regression"))


def test_a_condition_may_refer_to_what_a_preset_sets() -> None:
    spec = spec_of({"preset": "plain_space", "l1": {"value": 0.001, "when": {"dropout": [0.1]}}})
    assert spec.space.parameters["l1"].when == {"dropout": [0.1]}
    assert faults_of({"preset": "plain", "l1": {"value": 0.001, "when": {"momentum": [0.1]}}}) == [
        ("unknown_key", "parameters.l1.when.momentum")
    ]


def test_the_task_decides_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = PRESETS["plain"]
    of_task: dict[Task, dict[str, Any]] = {"classification": {"label_smoothing": 0.1}, "regression": {"lr": 0.2}}
    monkeypatch.setitem(PRESETS, "plain", type(preset)(preset.meaning, "", preset.parameters, of_task))
    spec = spec_of({"preset": "plain", "epochs": 5})
    assert spec.space.parameters["label_smoothing"] == Fixed(value=0.1)
    known = for_task(spec, "regression")
    assert "label_smoothing" not in known.space.parameters
    assert known.space.parameters["lr"] == Fixed(value=0.2)
    assert known.space.parameters["epochs"] == Fixed(value=5)
    assert (
        known
        == for_task(known, "regression")
        == spec_of({"preset": "plain", "epochs": 5}, task="regression").model_copy(update={"data": spec.data})
    )
    assert Spec.model_validate_json(known.model_dump_json()) == known


def test_an_unknown_preset_is_refused_with_the_faults_of_the_rest() -> None:
    assert faults_of({"preset": "plane", "lr": -1}) == [
        ("out_of_domain", "parameters.preset"), ("out_of_domain", "parameters.lr")
    ]  # fmt: skip
    assert faults_of({"preset": ["plain"]}) == [("out_of_domain", "parameters.preset")]
    with pytest.raises(SpecInvalid) as refused:
        parse_spec({"name": "t", "data": {"dataset": "d"}, "preset": "plain"})
    assert [(f.code, f.path) for f in refused.value.faults] == [("unknown_key", "preset")]


def test_what_a_table_without_numbers_cannot_embed_has_a_way_out() -> None:
    space = parse_spec({"name": "t", "data": {"dataset": "d"}, "parameters": {"number_embedding": "pbld"}}).space
    (fault,) = embedding_faults(space, {"category"})
    assert fault.hint == "set number_embedding: none, which wins over a preset, too"


# -- the first trial ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.around])
def test_the_first_trial_in_a_space_has_the_published_settings(name: str, task: Task) -> None:
    spec = for_task(spec_of({"preset": name}), task)
    around = PRESETS[name].around
    assert around is not None
    published = {key: found.value for key, found in sets(around, task).items() if isinstance(found, Fixed)}
    found = first_point(spec, task)
    assert found is not None
    assert spec.space.contains(found.params)
    searched = {key for key in spec.space.searched() if key in found.params}
    assert {key: found.params[key] for key in searched if key in published} == {
        key: published[key] for key in searched if key in published
    }
    assert list(first_point_notes(spec, task)) == [f"The first trial has the settings of the preset {around}."]


def test_a_space_without_the_published_values_begins_near_them_and_says_so() -> None:
    own = {
        "lr": {"low": 0.001, "high": 0.01, "log": True}, "batch_size": [32, 64, 128], "activation": ["relu", "selu"],
        "hidden": [[64], [32]], "weight_decay": {"low": 0.1, "high": 1.0, "or": 0.05}, "epochs": 40, "l1": [0.1, 0.0],
    }  # fmt: skip
    spec = for_task(spec_of({"preset": "realmlp_space", **own}), "regression")
    found = first_point(spec, "regression")
    assert found is not None
    assert spec.space.contains(found.params)
    told = {name: found.params[name] for name in own}
    assert told == {
        "lr": 0.01, "batch_size": 128, "activation": "relu", "hidden": [64], "weight_decay": 0.1, "epochs": 40,
        "l1": 0.0,
    }  # fmt: skip
    assert set(found.replaced) == {"hidden", "activation", "weight_decay", "lr", "batch_size"}, "epochs is as written"
    (note,) = first_point_notes(spec, "regression")
    assert "lr is 0.01, not 0.2" in note
    assert "hidden is [64], not [256, 256, 256]" in note


@pytest.mark.parametrize("parameters", [{"lr": [0.1, 0.2]}, {"preset": "realmlp"}, {"preset": "tabpack"}])
def test_without_published_settings_of_a_space_the_first_trial_is_drawn(parameters: dict[str, Any]) -> None:
    assert first_point(spec_of(parameters), "regression") is None
    assert list(first_point_notes(spec_of(parameters), "regression")) == []


def test_a_grid_keeps_its_order() -> None:
    raw = {"name": "t", "method": "grid", "data": {"dataset": "d"}}
    spec = parse_spec({**raw, "parameters": {"preset": "plain_space", "lr": [0.001, 0.01]}})
    assert first_point(spec, "regression") is None
