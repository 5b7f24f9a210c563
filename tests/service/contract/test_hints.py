"""Tests for the hints of refusals: words from elsewhere, capitals, typing errors; none is ever taken silently."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.parameters import _KEYS, _WANDB_LOG
from foldstep.service.contract.parse import _known_keys, parse_spec
from foldstep.service.contract.spec import EarlyStopSpec, Spec
from foldstep.service.contract.synonyms import ADVICE, DISTRIBUTION_KEYS, KEYS, VALUES, squeezed


def raw(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "data": {"dataset": "digits"}, **changes}


def hints(spec: dict[str, Any]) -> dict[str, str | None]:
    with pytest.raises(SpecInvalid) as refused:
        parse_spec(spec)
    return {fault.path: fault.hint for fault in refused.value.faults}


def exists(target: str) -> bool:
    path, has_value, value = target.partition("=")
    *section, key = path.split(".")
    if section == ["parameters"]:
        return key in REGISTRY and (not has_value or REGISTRY[key].allows(value))
    if key not in _known_keys([*section]):
        return False
    return not has_value or parse_spec(raw(**{section[0]: {key: value}})) is not None


def allowed(path: str) -> list[str]:
    if path == "distribution":
        return list(_WANDB_LOG)
    if path in REGISTRY:
        return list(REGISTRY[path].choices)
    return {
        "method": list(METHODS),
        "metric.name": list(METRICS),
        "data.task": list(get_args(Task)),
        "early_stop.rungs": list(get_args(EarlyStopSpec.model_fields["rungs"].annotation)),
    }[path]


@pytest.mark.parametrize("word", KEYS)
def test_every_target_of_a_key_exists_and_no_key_is_a_synonym_of_itself(word: str) -> None:
    for target in KEYS[word]:
        assert exists(target), target
        section, _, key = target.partition("=")[0].rpartition(".")
        assert squeezed(key) != word or section, target


@pytest.mark.parametrize("word", DISTRIBUTION_KEYS)
def test_every_target_of_a_key_of_a_distribution_exists(word: str) -> None:
    assert set(DISTRIBUTION_KEYS[word]) <= _KEYS


@pytest.mark.parametrize("path", VALUES)
def test_every_target_of_a_value_exists_and_no_value_is_a_synonym(path: str) -> None:
    values = allowed(path)
    assert len(values) >= 2
    for word, targets in VALUES[path].items():
        assert word not in {squeezed(value) for value in values}, word
        for target in targets:
            assert target in values or ("=" in target and exists(target)), target


def test_no_advice_is_about_a_key_that_there_is() -> None:
    assert not {word for word in ADVICE if word in map(squeezed, [*REGISTRY, *Spec.model_fields])}


PARAMETERS = {
    "learning_rate": "lr",
    "learning_rate_init": "lr", "LR": "lr", "hidden_layer_sizes": "hidden", "hidden_units": "hidden",
    "layers": "hidden", "alpha": "weight_decay", "l2": "weight_decay", "weight-decay": "weight_decay",
    "n_epochs": "epochs", "max_iter": "epochs", "batch-size": "batch_size", "BatchSize": "batch_size",
    "random_state": "seed", "solver": "optimizer", "nesterov": "optimizer: nesterov", "dropout_rate": "dropout",
    "n_layers": "depth", "drpout": "dropout", "beta_1": "beta1", "epsilon": "eps", "early_stopping": "patience",
    "n_trials": "budget.trials",
}  # fmt: skip


@pytest.mark.parametrize("word", PARAMETERS)
def test_a_hyperparameter_by_another_name(word: str) -> None:
    shown = PARAMETERS[word].replace("optimizer: nesterov", "parameters: {optimizer: nesterov}")
    hint = hints(raw(parameters={word: 1}))[f"parameters.{word}"]
    assert hint in (f"did you mean {PARAMETERS[word]}?", f"did you mean {shown}?")


TOP = {
    "learning_rate": "parameters.lr", "num_trials": "budget.trials", "count": "budget.trials", "scoring": "metric",
    "n_iter": "budget.trials", "n_trials": "budget.trials", "early_terminate": "early_stop", "Method": "method",
    "random_state": "seed", "param_distributions": "parameters", "n_splits": "cv.folds", "target": "data.target",
    "timeout": "budget.time", "metod": "method", "space": "parameters", "validation_split": "cv.holdout",
}  # fmt: skip


@pytest.mark.parametrize("word", TOP)
def test_a_key_of_a_spec_by_another_name(word: str) -> None:
    found = hints(raw(**{word: 1}))[word]
    assert found is not None
    assert TOP[word] in found


@pytest.mark.parametrize(
    ("parameters", "path", "meant"),
    [
        ({"optimizer": "AdamW"}, "parameters.optimizer", "adamw"),
        ({"optimizer": ["adam", "SGD"]}, "parameters.optimizer.1", "sgd"),
        ({"optimizer": "nag"}, "parameters.optimizer", "nesterov"),
        ({"activation": "swish"}, "parameters.activation", "silu"),
        ({"activation": "LeakyReLU"}, "parameters.activation", "leaky_relu"),
        ({"init": "xavier_uniform"}, "parameters.init", "glorot_uniform"),
        ({"schedule": "ReduceLROnPlateau"}, "parameters.schedule", "plateau"),
        ({"scaler": "StandardScaler"}, "parameters.scaler", "standard"),
        ({"norm": "BatchNorm1d"}, "parameters.norm", "batch"),
        ({"loss": "binary_crossentropy"}, "parameters.loss", "cross_entropy or label_cross_entropy"),
        ({"loss": "MSELoss"}, "parameters.loss", "mse"),
        ({"lr": {"lower": 1, "upper": 2}}, "parameters.lr.lower", "low"),
        ({"lr": {"low": 1, "maximum": 2}}, "parameters.lr.maximum", "high"),
        ({"optimizer": {"options": ["adam"]}}, "parameters.optimizer.options", "choices"),
        ({"lr": {"distribution": "quniform", "min": 1, "max": 2}}, "parameters.lr.distribution", "q_uniform"),
        ({"lr": {"distribution": "int", "min": 1, "max": 2}}, "parameters.lr.distribution", "int_uniform"),
    ],
)
def test_values_and_keys_of_a_hyperparameter_by_another_name(parameters: Any, path: str, meant: str) -> None:
    assert hints(raw(parameters=parameters))[path] == f"did you mean {meant}?"


@pytest.mark.parametrize("word", ["loguniform", "log_uniform", "LogUniform"])
def test_logarithmic_distributions_of_exponents_name_the_one_of_values(word: str) -> None:
    found = hints(raw(parameters={"lr": {"distribution": word, "min": -5, "max": -1}}))
    assert "log_uniform_values" in str(found["parameters.lr.distribution"])


@pytest.mark.parametrize(
    ("metric", "meant"),
    [
        ("auc", "roc_auc"), ("AUC", "roc_auc"), ("roc-auc", "roc_auc"), ("ROC_AUC", "roc_auc"), ("f1_score", "f1"),
        ("neg_mean_squared_error", "mse"), ("mean_squared_error", "mse"), ("val_auc", "roc_auc"), ("val_mae", "mae"),
        ("cross_entropy", "log_loss"), ("val_loss", "log_loss or mse"), ("acc", "accuracy"), ("R2", "r2"),
        ("neg_log_loss", "log_loss"), ("root_mean_squared_error", "rmse"), ("acuracy", "accuracy"),
    ],
)  # fmt: skip
def test_a_metric_by_another_name(metric: str, meant: str) -> None:
    assert hints(raw(metric=metric))["metric.name"] == f"did you mean {meant}?"


def test_a_sweep_of_wandb_gets_a_hint_for_each_fault() -> None:
    sweep = {
        "method": "bayes",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {
            "learning_rate": {"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1},
            "optimizer": {"values": ["adam", "SGD"]},
        },
        "early_terminate": {"type": "hyperband", "min_iter": 3},
        "run_cap": 20,
        "program": "train.py",
    }
    assert hints(raw(**sweep)) == {
        "method": "did you mean tpe or gp?",
        "metric.name": "did you mean log_loss or mse?",
        "metric.goal": "leave it out, a metric's name says whether more or less is better",
        "parameters.learning_rate": "did you mean lr?",
        "parameters.optimizer.values.1": "did you mean sgd?",
        "early_terminate": "did you mean early_stop?",
        "run_cap": "did you mean budget.trials?",
        "program": "leave it out, nothing here needs it",
    }
    assert hints(raw(method="hyperband"))["method"] == "did you mean early_stop: {rungs: hyperband}?"
    early = hints(raw(early_stop={"type": "hyperband", "min_iter": 3}))
    assert early == {"early_stop.type": "did you mean rungs?", "early_stop.min_iter": "did you mean min_epochs?"}


def test_a_name_is_found_whatever_its_capitals() -> None:
    assert nearest("PRICE", ["prize", "Price"]) == "Price"
    assert nearest("sepal length", ["sepal_width", "Sepal_Length"]) == "Sepal_Length"
    assert nearest("PRCE", ["size", "price"]) == "price"
    assert nearest("x", ["size", "price"]) is None
    assert nearest("", ["a"]) is None
