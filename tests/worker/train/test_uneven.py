"""Folds of different lengths, shorter or longer than a batch, train together as they train alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foldstep.models.catalog.preparation import Preparation
from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.oracle.single import train_single
from tests.worker.train.data import source
from tests.worker.train.test_packed import bits
from tests.worker.train.watch import Watch

SOURCE = source("wine", n_rows=91)
CPU = torch.device("cpu")


def train(members: list[Member], dtype: torch.dtype = torch.float32) -> Watch:
    watch = Watch()
    Training(SOURCE, "log_loss", Engine(CPU, 1 << 30, dtype)).train(members, watch)
    return watch


def members(batch_size: int) -> list[Member]:
    configurations = [resolve({"hidden": [w], "batch_size": batch_size, "epochs": 6}) for w in (5, 12)]
    return [Member(trial, fold, hp) for trial, hp in enumerate(configurations) for fold in range(3)]


def test_lengths_differ() -> None:
    assert len({SOURCE.fold(f, Preparation("standard")).x_train.shape[0] for f in range(3)}) > 1


@pytest.mark.parametrize("batch_size", [16, 60, 61, 64, 500])
def test_together_is_as_alone(batch_size: int) -> None:
    together = train(members(batch_size))
    for member in members(batch_size):
        assert bits(together, member.key) == bits(train([member]), member.key)


@pytest.mark.parametrize("batch_size", [16, 60, 61, 64, 500])
def test_together_is_as_stock_pytorch(batch_size: int) -> None:
    for member, _ in train(members(batch_size), torch.float64).done.values():
        alone = train_single(member.hp, member.fold, SOURCE.fold(member.fold, Preparation("standard")), "log_loss")
        np.testing.assert_allclose(member.progress.train_loss, alone.train_loss, rtol=1e-5)
        np.testing.assert_allclose(member.progress.scores, alone.scores, rtol=1e-5)
