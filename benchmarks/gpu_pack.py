"""A pack that trains on digits in every way that a device supports; for `benchmarks.gpu`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from foldstep.models.class_numbers import ClassNumbers
from foldstep.models.columns import InputColumns
from foldstep.models.eager.losses import PackedLoss
from foldstep.models.eager.optim import PackedOptimizer
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.eager.workspace import Batch
from foldstep.models.fused.members import is_covered
from foldstep.models.hyperparameters import resolve
from foldstep.models.layout import Layout, Slot
from foldstep.models.streams import Stream
from foldstep.worker.steps.precision import products_rounded_to

N_INPUTS, N_CLASSES = 64, 10


@dataclass(frozen=True)
class Device:
    """The device to measure on, and the seconds of each measurement."""

    torch: torch.device
    seconds: float = 2.0

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU, which has CUDA graphs and separate memory."""
        return self.torch.type == "cuda"

    def wait(self) -> None:
        """Wait until the device has finished all its work."""
        if self.is_cuda:
            torch.cuda.synchronize(self.torch)


class Pack:
    """A pack that trains on digits.

    Args:
        n: number of members; their learning rates are spaced on a log scale.
        hidden: widths of their hidden layers.
        batch: rows of a mini-batch.
        device: where to train.
        precision: of all members' matrix products.
    """

    def __init__(self, n: int, hidden: tuple[int, ...], batch: int, device: Device, precision: str = "float32") -> None:
        self.n, self.device, self._precision = n, device, precision
        same: dict[str, Any] = {"hidden": list(hidden), "batch_size": batch, "precision": precision, "seed": 0}
        hps = [resolve({**same, "lr": float(rate)}) for rate in np.geomspace(3e-4, 1e-2, n)]
        slots = [
            Slot((i, 0), hp, 0, Stream(0, 0, batch), InputColumns.of_numbers(N_INPUTS)) for i, hp in enumerate(hps)
        ]
        layout = Layout(slots, N_CLASSES)
        self.net = PackedFNN(layout, torch.float32, device.torch)
        self.net.initialise()
        self._optimizer = PackedOptimizer(self.net)
        self._loss = PackedLoss(layout, "classification", [ClassNumbers()] * n, torch.float32, device.torch)
        self._columns = math.ceil(batch / 8) * 8
        self._space = self.net.workspace(self._columns, training=True)
        self._inputs, self._targets = digits(self._columns, batch, device.torch)
        self._weights = torch.zeros(n, 1, self._columns, device=device.torch)
        self._weights[:, :, :batch] = 1 / batch
        self._x, self._y = self._inputs[0].clone(), self._targets[0].clone()
        self._batch = Batch([self._x], self._weights, None)
        self.losses = torch.zeros(n, device=device.torch)

    def feed(self, number: int) -> None:
        """Copy a batch to the buffers that the steps read."""
        self._x.copy_(self._inputs[number % len(self._inputs)])
        self._y.copy_(self._targets[number % len(self._targets)])

    def step(self) -> None:
        """Take one step of every member."""
        targets = self._y.expand(self.n, -1, -1)
        with products_rounded_to(self._precision):
            outputs = self.net.forward(self._batch, self._space)[:, :N_CLASSES]
            self.losses.copy_(self._loss(outputs, targets, self._weights, self._space.output_delta[:, :N_CLASSES]))
            self.net.backward(self._batch, self._space)
        self._optimizer.step(self.losses)

    def fused(self, warps: int) -> Callable[[], None]:
        """Make a function that takes one step for each batch with the fused kernel.

        Args:
            warps: warps that share the work of a member.
        """
        from foldstep.models.fused.launch import FedSteps, FusedMembers

        net, optimizer = self.net, self._optimizer
        moments = optimizer.first, optimizer.second
        members = FusedMembers(net.layout, net.parameters, *moments, net.streams, "classification", warps)
        weights = self._weights[:1, 0].expand(self.n_batches, 1, -1).contiguous()
        rates = optimizer.rates.expand(self.n_batches, -1, -1).contiguous()
        fed = FedSteps(self._inputs.unsqueeze(1), self._targets.unsqueeze(1), weights, None, rates)
        taken = [0]

        def take() -> None:
            self.losses.copy_(members.take(fed, range(self.n_batches), taken[0]))
            taken[0] += self.n_batches

        return take

    @property
    def n_batches(self) -> int:
        """Batches of the data, and so steps of an epoch."""
        return len(self._inputs)

    @property
    def is_narrow(self) -> bool:
        """Whether the fused kernel covers its members and can run here."""
        has_place = self.device.is_cuda or "TRITON_INTERPRET" in os.environ
        covered = all(is_covered(s.hp, N_INPUTS, N_CLASSES) for s in self.net.layout.slots)
        return covered and has_place and find_spec("triton") is not None

    def captured(self) -> Callable[[], None]:
        """Capture one step as a CUDA graph and return the function that replays it."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay


def digits(columns: int, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Make batches of standardised digits: inputs (batches, columns, inputs), targets (batches, classes, columns)."""
    bunch = load_digits()
    x = (bunch.data - bunch.data.mean(0)) / np.where(bunch.data.std(0) > 0, bunch.data.std(0), 1)
    n = len(x) // batch
    order = np.random.default_rng(0).permutation(len(x))[: n * batch]
    inputs = np.zeros((n, columns, N_INPUTS), dtype=np.float32)
    inputs[:, :batch] = x[order].reshape(n, batch, -1)
    targets = np.zeros((n, N_CLASSES, columns), dtype=np.float32)
    classes = bunch.target[order].reshape(n, batch)
    for i in range(n):
        targets[i, classes[i], np.arange(batch)] = 1 / batch
    return torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
