"""What the notes call idle changes no bit of a training, and what they do not, does: every need, with both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets

from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.service.contract.columns import CategoryColumn, NumberColumn
from foldstep.service.contract.idle import NEEDS, Need
from foldstep.service.contract.spec import CvSpec
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.train.data import problem
from tests.worker.train.test_loop import flat
from tests.worker.train.watch import Watch

N = 60


def table(name: str) -> FoldSource:
    """Rows of a data set with a column of five categories beside its numbers."""
    bunch = getattr(datasets, f"load_{name}")()
    rows = np.random.default_rng(0).permutation(len(bunch.target))[:N]
    columns: dict[str, Any] = {f"x{i}": NumberColumn(bunch.data[rows, i].astype(np.float64)) for i in range(4)}
    columns["letter"] = CategoryColumn(np.arange(N, dtype=np.int32) % 5, tuple("abcde"))
    columns["target"] = NumberColumn(bunch.target[rows].astype(np.float64))
    return FoldSource(Table(columns), problem(TASKS[name], CvSpec(folds=2)))


TASKS: dict[str, Task] = {"wine": "classification", "diabetes": "regression"}
SOURCES = {task: table(name) for name, task in TASKS.items()}
PLAIN: dict[str, Any] = {"hidden": [8, 8], "epochs": 4, "batch_size": 10, "lr": 0.01, "seed": 1}
FLAT, LBFGS = {"hidden": []}, {"optimizer": "lbfgs", "batch_size": 500, "lr": 0.5}
PLR = {"number_embedding": "plr", "embedding_sigma": 1.0}

CASES: dict[str, tuple[tuple[Any, Any], dict[str, Any], list[dict[str, Any]]]] = {
    # name: two values, what makes it matter, and for each need what does not meet it
    "activation": (("relu", "tanh"), {}, [FLAT, {"units": "maxout"}]),
    "width": ((5, 9), {"hidden": None, "depth": 1}, [{"depth": 0}]),
    "units": (("plain", "glu"), {}, [FLAT]),
    "dropout": ((0.2, 0.6), {}, [FLAT]),
    "norm": (("none", "layer"), {}, [FLAT]),
    "norm_momentum": ((0.1, 0.5), {"norm": "batch"}, [{"norm": "layer"}, FLAT]),
    "activation_trained": (("none", "unit"), {}, [FLAT, {"units": "maxout"}]),
    "activation_lr_factor": ((0.1, 2.0), {"activation_trained": "unit"},
                             [{"activation_trained": "none"}, FLAT, {"units": "maxout"}, LBFGS]),
    "skip": (("none", "residual"), {}, [{"hidden": [8, 7]}]),
    "dropout_schedule": (("constant", "coslog"), {"dropout": 0.5}, [{"dropout": 0.0}]),
    "mixup": ((0.2, 0.9), {}, [{"loss": "hinge"}]),
    "muon_lr": ((0.01, 0.1), {"optimizer": "muon"}, [{"optimizer": "adam"}, FLAT]),
    "first_layer_lr_factor": ((0.5, 2.0), {}, [LBFGS]),
    "output_lr_factor": ((0.5, 2.0), {}, [LBFGS]),
    "bias_lr_factor": ((0.5, 2.0), {}, [LBFGS]),
    "momentum": ((0.1, 0.8), {"optimizer": "sgd"}, [{"optimizer": "adamw"}, FLAT | {"optimizer": "muon"}]),
    "beta1": ((0.5, 0.9), {}, [{"optimizer": "rmsprop"}]),
    "beta2": ((0.5, 0.9), {}, [{"optimizer": "adagrad"}]),
    "rho": ((0.5, 0.9), {"optimizer": "rmsprop"}, [{"optimizer": "adagrad"}]),
    "eps": ((1e-8, 0.1), {}, [{"optimizer": "nesterov"}]),
    "bias_decay_factor": ((0.0, 2.0), {"weight_decay": 0.1}, [{"weight_decay": 0.0}]),
    "decay_schedule": (("constant", "coslog"), {"weight_decay": 0.1}, [{"weight_decay": 0.0}, LBFGS]),
    "decay_towards": (("zero", "init"), {"weight_decay": 0.1}, [{"weight_decay": 0.0}, LBFGS]),
    "gradient_noise": ((0.01, 0.1), {}, [LBFGS]),
    "scale_lr_with_batch": (("none", "linear"), {}, [{"batch_size": 128}]),
    "decay": ((0.5, 0.9), {"schedule": "exponential"}, [{"schedule": "inverse_time"}]),
    "decay_epochs": ((1, 3), {"schedule": "inverse_time"}, [{"schedule": "cosine"}]),
    "cycle_epochs": ((1, 3), {"schedule": "cyclical"}, [{"schedule": "cosine"}]),
    "cycle_growth": ((1, 2), {"schedule": "cosine_restarts", "cycle_epochs": 1}, [{"schedule": "cyclical"}]),
    "lr_floor": ((0.0, 0.5), {"schedule": "cosine"}, [{"schedule": "one_cycle"}]),
    "cooldown": ((0.3, 0.6), {"schedule": "trapezoidal"}, [{"schedule": "cyclical"}]),
    "huber_delta": ((0.1, 1.0), {"loss": "huber"}, [{"loss": "mae"}]),
    "focal_gamma": ((1.0, 3.0), {"loss": "focal"}, [{"loss": "hinge"}]),
    "tweedie_power": ((1.2, 1.8), {"loss": "tweedie"}, [{"loss": "poisson"}]),
    "label_smoothing": ((0.1, 0.3), {}, [{"loss": "focal"}]),
    "label_smoothing_to": (("uniform", "frequencies"), {"label_smoothing": 0.3},
                           [{"label_smoothing": 0.0}, {"loss": "focal"}]),
    "quantile_noise": ((0.1, 1.0), {"scaler": "quantile"}, [{"scaler": "robust"}]),
    "embedding_size": ((3, 6), PLR, [{"number_embedding": "none"}]),
    "embedding_shared": (("none", "all"), PLR, [{"number_embedding": "none"}]),
    "embedding_min_values": ((2, 40), PLR, [{"number_embedding": "none"}]),
    "embedding_frequencies": ((3, 6), PLR, [{"number_embedding": "piecewise"}]),
    "embedding_sigma": ((0.1, 0.9), {"number_embedding": "pbld"}, [{"number_embedding": "piecewise"}]),
    "embedding_bins": ((3, 6), {"number_embedding": "piecewise"}, [PLR]),
    "category_embedding_size": ((2, 4), {"max_one_hot": 2}, [{"max_one_hot": 0}]),
    "embedding_lr_factor": ((0.1, 3.0), {"max_one_hot": 2}, [{"max_one_hot": 0}, LBFGS]),
    "input_scale_lr_factor": ((0.1, 3.0), {"input_scale": "trained"}, [{"input_scale": "none"}, LBFGS]),
}  # fmt: skip


def test_every_need_has_a_case() -> None:
    assert {name: len(needs) for name, needs in NEEDS.items()} == {name: len(case[2]) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_what_no_trial_reads_changes_no_bit(name: str) -> None:
    values, read, unread = CASES[name]
    assert trained(read, name, values[0]) != trained(read, name, values[1])
    assert all(holds(need, read) for need in NEEDS[name])
    for need, more in zip(NEEDS[name], unread, strict=True):
        assert not holds(need, read | more)
        assert trained(read | more, name, values[0]) == trained(read | more, name, values[1])


@pytest.mark.parametrize("name", ["decay", "decay_epochs", "cycle_epochs", "cycle_growth", "lr_floor", "cooldown"])
def test_each_schedule_reads_what_its_row_says(name: str) -> None:
    values = CASES[name][0]
    for schedule, row in SCHEDULES.items():
        more = {"schedule": schedule, "cycle_epochs": 2, "epochs": 12, "decay_epochs": 1}
        one, other = (trained(more, name, value) for value in values)
        assert (one != other) is (name in row.reads), schedule


def trained(more: dict[str, Any], name: str, value: Any) -> tuple[list[float | None], list[bytes]]:
    """Train with a value; return the losses of the epochs, and the bits of the best network."""
    watch = Watch()
    member = Member(0, 0, configured(more | {name: value}))
    metric = "accuracy" if task_of(more) == "classification" else "rmse"
    engine = Engine(torch.device("cpu"), 1 << 30, torch.float64, may_compile=False)
    Training(SOURCES[task_of(more)], metric, engine).train([member], watch)
    ended, weights = watch.done[0, 0]
    return ended.progress.train_loss, flat(weights)


def holds(need: Need, more: dict[str, Any]) -> bool:
    return need.holds(configured(more), task_of(more))


def configured(more: dict[str, Any]) -> Hyperparameters:
    """Make a configuration; None leaves a hyperparameter out."""
    return resolve({name: value for name, value in (PLAIN | more).items() if value is not None})


def task_of(more: dict[str, Any]) -> Task:
    return "regression" if more.get("loss") in ("huber", "mae", "tweedie", "poisson") else "classification"
