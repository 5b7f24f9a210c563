"""A name of a table that nobody has implemented never trains: neither eagerly, nor as the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from foldstep.models.catalog.activations import ACTIVATIONS, Activation
from foldstep.models.catalog.losses import LOSSES, Loss
from foldstep.models.catalog.norms import NORMS, Norm
from foldstep.models.catalog.optimizers import FAMILIES, OPTIMIZERS, Family, Optimizer
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.schedules import SCHEDULES, Schedule
from foldstep.models.catalog.units import UNITS, Units
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.oracle.single import train_single
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

CPU = torch.device("cpu")
COUNTS = source("diabetes", exposure=True)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row named toy in every table, and no code for it."""
    for table, row in (
        (ACTIVATIONS, Activation()), (LOSSES, Loss("regression")), (NORMS, Norm(is_scaled=False)),
        (FAMILIES, Family(("first",))), (OPTIMIZERS, Optimizer("toy", 0.1)), (SCHEDULES, Schedule("by_epoch")),
        (UNITS, Units(has_second=False)),
    ):  # fmt: skip
        monkeypatch.setitem(table, "toy", row)  # type: ignore[arg-type]


TOYS = [{"activation": ("toy",)}, {"loss": "toy"}, {"norm": "toy"}, {"optimizer": "toy"}, {"schedule": "toy"},
        {"init": "toy"}, {"units": "toy"}]  # fmt: skip


def toy(chosen: dict[str, Any]) -> Hyperparameters:
    return replace(resolve({"hidden": [8], "epochs": 1, "batch_size": 50}), **chosen)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("chosen", TOYS)
def test_the_eager_backend_raises(chosen: dict[str, Any]) -> None:
    training = Training(COUNTS, "mse", Engine(CPU, 1 << 30, torch.float64, may_compile=False))
    with pytest.raises(KeyError, match="toy"):
        training.train([Member(0, 0, toy(chosen))], Watch())


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("chosen", TOYS)
def test_the_oracle_raises(chosen: dict[str, Any]) -> None:
    with pytest.raises(KeyError, match="toy"):
        train_single(toy(chosen), 0, COUNTS.fold(0, Preparation("standard")), "mse", torch.float64)
