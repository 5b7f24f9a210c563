"""A GPU trains what a CPU trains: the same noise and order, results within rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.hyperparameters import resolve
from models.noise import counters, dropout_noise
from tests.worker.train.data import source
from tests.worker.train.watch import Watch
from worker.train.engine import Engine
from worker.train.graphs import Recorder
from worker.train.loop import Training
from worker.train.pack import Member

pytestmark = pytest.mark.gpu
CUDA, CPU = torch.device("cuda"), torch.device("cpu")
MIX: list[dict[str, Any]] = [
    {"hidden": [16], "lr": 0.01, "epochs": 5},
    {"hidden": [24, 8], "lr": 0.03, "epochs": 5, "dropout": 0.3, "optimizer": "nesterov"},
    {"hidden": [], "lr": 0.1, "epochs": 3, "optimizer": "sgd"},
    {"hidden": [40, 40, 40], "lr": 0.003, "epochs": 4, "activation": "sigmoid", "optimizer": "adamw", "beta1": 0.5},
]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3}
"""Relative, after some 20 steps: another library sums in another order, and training lets differences grow."""


def train(device: torch.device, dtype: torch.dtype, recorder: Recorder | None = None) -> Watch:
    wine = source("wine")
    these = [Member(t, f, resolve({"batch_size": 16, **c})) for t, c in enumerate(MIX) for f in range(3)]
    watch = Watch()
    Training(wine, "log_loss", Engine(device, 1 << 30, dtype, recorder=recorder)).train(these, watch)
    return watch


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_gpu_trains_what_a_cpu_trains(dtype: torch.dtype) -> None:
    on_cpu, on_gpu = train(CPU, dtype), train(CUDA, dtype)
    assert on_cpu.done.keys() == on_gpu.done.keys()
    for key, (member, _) in on_cpu.done.items():
        twin = on_gpu.done[key][0].progress
        np.testing.assert_allclose(twin.train_loss, member.progress.train_loss, rtol=TOLERANCE[dtype])
        np.testing.assert_allclose(twin.scores, member.progress.scores, rtol=TOLERANCE[dtype])


def test_a_gpu_drops_the_units_that_a_cpu_drops() -> None:
    multipliers, offsets = (torch.tensor([[[v]]], dtype=torch.int32) for v in (-1640531535, 12345))
    on_cpu = dropout_noise(counters(64, 128, CPU), multipliers, offsets)
    on_gpu = dropout_noise(counters(64, 128, CUDA), multipliers.to(CUDA), offsets.to(CUDA))
    assert torch.equal(on_cpu, on_gpu.cpu())


def test_a_captured_step_does_what_a_called_one_does(caplog: pytest.LogCaptureFixture) -> None:
    captured = train(CUDA, torch.float64)
    assert caplog.records == [], "every step of the mix can be captured"

    def refuse(_step: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("no graphs")

    called = train(CUDA, torch.float64, refuse)
    assert captured.done.keys() == called.done.keys()
    for key, (member, _) in captured.done.items():
        np.testing.assert_allclose(called.done[key][0].progress.scores, member.progress.scores, rtol=1e-9)
