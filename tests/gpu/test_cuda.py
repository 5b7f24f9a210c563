"""A GPU trains what a CPU trains: the same noise and order, results within rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.hyperparameters import resolve
from foldstep.models.noise import counters, dropout_noise
from foldstep.worker.steps import backend
from foldstep.worker.steps.engine import Engine
from foldstep.worker.steps.graphs import Recorder
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.steps.test_fused import Always
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

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
ROUNDED = 0.05
"""The same where factors are rounded to ten binary digits."""


def train(device: torch.device, dtype: torch.dtype, recorder: Recorder | None = None, **how: Any) -> Watch:
    wine = source("wine")
    these = [Member(t, f, resolve({"batch_size": 16, **c})) for t, c in enumerate(MIX) for f in range(3)]
    watch = Watch()
    engine = Engine(device, 1 << 30, dtype, recorder=recorder, **how)
    Training(wine, "log_loss", engine).train(these, watch)
    return watch


def assert_close(found: Watch, right: Watch, rtol: float) -> None:
    assert found.done.keys() == right.done.keys()
    for key, (member, _) in right.done.items():
        twin = found.done[key][0].progress
        np.testing.assert_allclose(twin.train_loss, member.progress.train_loss, rtol=rtol)
        np.testing.assert_allclose(twin.scores, member.progress.scores, rtol=rtol)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_gpu_trains_what_a_cpu_trains(dtype: torch.dtype) -> None:
    assert_close(train(CUDA, dtype), train(CPU, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("way", ["a kernel of 4 warps", "a kernel of 8 warps"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_kernel_trains_what_a_cpu_trains(
    dtype: torch.dtype, way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backend, "Timings", lambda: Always(way))
    assert_close(train(CUDA, dtype, may_fuse=True), train(CPU, dtype), TOLERANCE[dtype])
    assert caplog.records == [], "it compiles and has room"


@pytest.mark.parametrize("may_fuse", [False, True], ids=["operations", "kernel"])
def test_products_that_may_round_train_nearly_the_same(may_fuse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "Timings", lambda: Always("a kernel of 4 warps"))
    exact = train(CUDA, torch.float32, may_fuse=may_fuse)
    monkeypatch.setattr(f"{__name__}.MIX", [hp | {"precision": "tf32"} for hp in MIX])
    rounded = train(CUDA, torch.float32, may_fuse=may_fuse)
    assert_close(rounded, exact, ROUNDED)
    losses = [[m.progress.train_loss for m, _ in watch.done.values()] for watch in (rounded, exact)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_way_agrees_with_the_plain_one(dtype: torch.dtype, caplog: pytest.LogCaptureFixture) -> None:
    """Both forms of the kernel and captured steps are compared, and none is refused, nor does one fail."""
    longer = [hp | {"epochs": 20} for hp in MIX]
    these = [Member(t, 0, resolve({"batch_size": 16, **hp})) for t, hp in enumerate(longer)]
    engine = Engine(CUDA, 1 << 30, dtype, may_fuse=True)
    Training(source("wine"), "log_loss", engine).train(these, Watch())
    assert caplog.records == []
    ways = ("a kernel of 4 warps", "a kernel of 8 warps", "captured steps")
    assert all(t.agrees(way, {("optimizer", "sgd")}) for t in engine.timings.values() for way in ways)


def test_several_packs_in_flight_train_what_one_trains() -> None:
    several = train(CUDA, torch.float64, may_fuse=True, packs_in_flight=2)
    assert_close(several, train(CUDA, torch.float64), TOLERANCE[torch.float64])


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

    assert_close(train(CUDA, torch.float64, refuse), captured, 1e-9)
