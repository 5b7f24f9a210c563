"""A device without room for a pack: it is split, and every member comes to what it comes to undisturbed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.trainer import PackTrainer
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

WINE = source("wine")
MIX: list[dict[str, Any]] = [
    {"hidden": [16], "epochs": 6},
    {"hidden": [24, 8], "epochs": 6, "dropout": 0.3, "optimizer": "nesterov"},
    {"hidden": [40], "epochs": 9, "lr": 0.01, "norm": "layer"},
    {"hidden": [8], "epochs": 5, "patience": 2, "lr": 0.1},
]


def train(watch: Watch | None = None) -> dict[tuple[int, int], Any]:
    watch = watch or Watch()
    these = [Member(t, f, resolve({"batch_size": 16, **c})) for t, c in enumerate(MIX) for f in range(3)]
    Training(WINE, "log_loss", Engine(torch.device("cpu"), 1 << 30)).train(these, watch)
    return {
        key: (member.progress, [a.tobytes() for layer in weights or () for a in layer.values()])
        for key, (member, weights) in watch.done.items()
    }


@pytest.mark.parametrize("room", [1, 2, 5])
@pytest.mark.parametrize("epoch", [1, 2, 4])
@pytest.mark.parametrize("saves", [False, True])
def test_the_result_is_the_same(room: int, epoch: int, saves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train()
    right, failures = PackTrainer.train_epoch, []

    def without_room(self: PackTrainer, number: int) -> Tensor:
        losses = right(self, number)  # fails when the weights have changed already
        if number >= epoch and len(self.members) > room:
            failures.append(len(self.members))
            raise torch.cuda.OutOfMemoryError
        return losses

    monkeypatch.setattr(PackTrainer, "train_epoch", without_room)
    watch = Watch()
    monkeypatch.setattr(watch, "wants_snapshots", lambda: saves)
    monkeypatch.setattr(watch, "snapshots_taken", lambda: None)
    assert train(watch) == expected
    assert failures


def test_a_single_member_without_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_room(*_: Any) -> Tensor:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(PackTrainer, "train_epoch", without_room)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        train()
