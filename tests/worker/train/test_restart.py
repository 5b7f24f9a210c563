"""A member that diverges begins its epoch again at a tenth of the rate, twice at most; no neighbour notices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.catalog.metrics import Direction
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.lease import LeasedTrial
from foldstep.worker.assignment import TrialWork
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.stopping import End
from tests.oracle.single import train_single
from tests.worker.train.data import source
from tests.worker.train.test_loop import assert_same, flat, through_a_file
from tests.worker.train.watch import Watch

WINE = source("wine")
CALM = {"hidden": [16], "lr": 0.01, "epochs": 8, "optimizer": "adam"}
# the rate rises until the loss overflows in the midst of training, after some good epochs
RISING = {
    "hidden": [16, 8], "lr": 30.0, "epochs": 8, "optimizer": "momentum", "schedule": "cyclical", "cycle_epochs": 8,
    "activation": "elu", "weight_decay": 0.5, "on_divergence": "restart",
}  # fmt: skip
HOPELESS = {"hidden": [16], "lr": 1e30, "epochs": 8, "optimizer": "sgd", "on_divergence": "restart"}


def members(*configurations: dict[str, Any]) -> list[Member]:
    return [Member(t, f, resolve({"batch_size": 16, **c})) for t, c in enumerate(configurations) for f in range(3)]


def train(these: list[Member], watch: Watch | None = None, dtype: torch.dtype = torch.float32) -> Watch:
    watch = watch or Watch()
    Training(WINE, "log_loss", Engine(torch.device("cpu"), 1 << 30, dtype)).train(these, watch)
    return watch


def test_it_goes_on_from_its_last_good_epoch_at_a_tenth_of_the_rate() -> None:
    watch = train(members(RISING), dtype=torch.float64)
    for fold in range(3):
        progress = watch.done[0, fold][0].progress
        assert progress.end is End.EPOCHS
        assert progress.restarts
        assert progress.restarts[0] > 1, "it must diverge in the midst of training for this test"
        alone = train_single(watch.done[0, fold][0].hp, fold, WINE.fold(fold, Preparation("standard")), "log_loss")
        np.testing.assert_allclose(progress.train_loss, alone.train_loss, rtol=1e-6)
        np.testing.assert_allclose(progress.scores, alone.scores, rtol=1e-6)


def test_after_two_restarts_it_has_diverged() -> None:
    watch = train(members(HOPELESS))
    progress = watch.done[0, 0][0].progress
    assert (progress.end, progress.restarts, progress.epoch) == (End.DIVERGED, [1, 1], 1)


def test_without_the_wish_nothing_is_begun_again() -> None:
    progress = train(members({**HOPELESS, "on_divergence": "stop"})).done[0, 0][0].progress
    assert (progress.end, progress.restarts) == (End.DIVERGED, [])


def test_neighbours_keep_their_bits_and_so_does_the_restarted_one() -> None:
    together = train(members(CALM, RISING, HOPELESS))
    calm, rising = train(members(CALM)), train([m for m in members(CALM, RISING) if m.trial == 1])
    for alone in (calm, rising):
        for key, (member, weights) in alone.done.items():
            assert member.progress == together.done[key][0].progress
            assert flat(weights) == flat(together.done[key][1])


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "rmsprop"])
@pytest.mark.parametrize("leave_after", range(1, 12))
def test_leaving_at_any_moment_changes_nothing(optimizer: str, leave_after: int) -> None:
    configurations = [{**RISING, "optimizer": optimizer, "lr": 1e3, "ema_decay": 0.5}, CALM]
    straight, these = train(members(*configurations)), members(*configurations)
    first = train(these, Watch(leave_after=leave_after))
    unfinished = [m for m in these if m.progress.end is None]
    rest = train([through_a_file(m) if m.snapshot else m for m in unfinished])
    rest.done |= first.done
    assert_same(straight, rest)


def test_a_restart_is_told() -> None:
    work = TrialWork(LeasedTrial(number=3, params={"batch_size": 16, **RISING}), 3, 0, Direction.MINIMIZE, saved=None)
    watch = train(work.members)
    work.weights = {fold: watch.done[3, fold][1] for fold in range(3)}
    result = work.finished("0" * 64).result
    epoch = work.members[1].progress.restarts[0]
    assert result.message is not None
    assert f"Fold 1 diverged in epoch {epoch}" in result.message
