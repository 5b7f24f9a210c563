"""Everything that there is to measure on a GPU, in one call: `benchmarks/gpu.sh`.

It needs torch, numpy and scikit-learn alone, works on `models/` directly, and holds its batches on the device. With
`--device cpu` it does the same without graphs.

- agreement: losses of a pack on the device and on the CPU, float32, after some steps;
- packs: member-steps a second against the number of members, step by step and as a captured CUDA graph;
- plain: `nn.Sequential` and `torch.optim.Adam` on the same device, one network a process, by the number of processes;
- grid: a sample of the published table's grid (widths 16 to 512 twice, four batch sizes) in packs as large as memory
  allows, and the time that follows for all 62,208 configurations of 100 epochs, four times each;
- memory: of a pack at its peak.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.hyperparameters import resolve
from models.layout import Layout, Slot
from models.losses import PackedLoss
from models.noise import Stream
from models.optim import PackedOptimizer
from models.packed import Batch, PackedFNN

N_INPUTS, N_CLASSES = 64, 10
SHAPES = ((32, 32), (64, 128), (128, 128))
MEMBERS = (10, 100, 1000, 10_000)
PROCESSES = (1, 2, 4, 8)
STRATA = 24
GRID_UNITS, GRID_BATCHES, GRID_CONFIGURATIONS, GRID_REPEATS = (16, 32, 64, 128, 256, 512), (8, 16, 32, 64), 62_208, 4
GRID_ROWS, GRID_EPOCHS, GRID_MEMBERS = 3525, 100, 8192


@dataclass(frozen=True)
class Device:
    """Where to measure, and for how long each time."""

    torch: torch.device
    seconds: float = 2.0

    @property
    def is_cuda(self) -> bool:
        """Whether there are graphs, and a memory of its own."""
        return self.torch.type == "cuda"

    def wait(self) -> None:
        """Until everything that was asked of it is done."""
        if self.is_cuda:
            torch.cuda.synchronize(self.torch)


class Pack:
    """A pack that takes steps on digits.

    Args:
        n: members, with learning rates on a log scale.
        hidden: their layers.
        batch: rows of a step.
    """

    def __init__(self, n: int, hidden: tuple[int, ...], batch: int, device: Device) -> None:
        self.n, self.device = n, device
        rates = np.geomspace(3e-4, 1e-2, n)
        hps = [resolve({"hidden": list(hidden), "batch_size": batch, "lr": float(r), "seed": 0}) for r in rates]
        slots = [Slot((i, 0), hp, 0, Stream(0, 0, batch), N_INPUTS) for i, hp in enumerate(hps)]
        layout = Layout(slots, N_CLASSES)
        self.net = PackedFNN(layout, torch.float32, device.torch)
        self.net.initialise()
        self._optimizer = PackedOptimizer(self.net)
        self._loss = PackedLoss(layout, "classification", [None] * n, torch.float32, device.torch)
        self._columns = math.ceil(batch / 8) * 8
        self._space = self.net.workspace(self._columns, training=True)
        self._inputs, self._targets = _digits(self._columns, batch, device.torch)
        self._weights = torch.zeros(n, 1, self._columns, device=device.torch)
        self._weights[:, :, :batch] = 1 / batch
        self._x, self._y = self._inputs[0].clone(), self._targets[0].clone()
        self._batch = Batch([self._x], self._weights, None)
        self.losses = torch.zeros(n, device=device.torch)

    def feed(self, number: int) -> None:
        """Put a batch where the steps read it."""
        self._x.copy_(self._inputs[number % len(self._inputs)])
        self._y.copy_(self._targets[number % len(self._targets)])

    def step(self) -> None:
        """One step of every member."""
        outputs = self.net.forward(self._batch, self._space)[:, :N_CLASSES]
        targets = self._y.expand(self.n, -1, -1)
        self.losses.copy_(self._loss(outputs, targets, self._weights, self._space.output_delta[:, :N_CLASSES]))
        self.net.backward(self._batch, self._space)
        self._optimizer.step(self.losses)

    def captured(self) -> Callable[[], None]:
        """The step as a CUDA graph."""
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


def _digits(columns: int, batch: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Batches of standardised digits: (batches, columns, inputs) and (batches, classes, columns)."""
    from sklearn.datasets import load_digits

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


# -- measurements -----------------------------------------------------------------------------------------------


def agreement(device: Device) -> dict[str, Any]:
    """The losses of some members after 20 steps, on the device and on the CPU."""
    losses = []
    for where in (device, Device(torch.device("cpu"))):
        pack = Pack(16, (32, 32), 32, where)
        for number in range(20):
            pack.feed(number)
            pack.step()
        losses.append(pack.losses.cpu().double())
    difference = ((losses[0] - losses[1]).abs() / losses[1]).max().item()
    assert difference < 1e-2, f"the device learned something else: losses differ by {difference}"
    return {"measured": "agreement", "largest_relative_difference": difference}


def rate(device: Device, act: Callable[[], None], feed: Callable[[int], None]) -> float:
    """Calls a second, batches being fed."""
    for number in range(3):
        feed(number)
        act()
    device.wait()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < device.seconds:
        for _ in range(10):
            feed(count)
            act()
            count += 1
        device.wait()
    return count / (time.perf_counter() - begun)


def packs(device: Device, shape: tuple[int, int], n: int) -> list[dict[str, Any]]:
    """Rows of one pack: eager, captured, and its memory."""
    width, batch = shape
    if device.is_cuda:
        torch.cuda.reset_peak_memory_stats(device.torch)
    pack = Pack(n, (width, width), batch, device)
    told = {"width": width, "batch": batch, "members": n}
    rows = [{"measured": "packs", **told, "way": "eager", "per_s": n * rate(device, pack.step, pack.feed)}]
    if device.is_cuda:
        rows.append(
            {"measured": "packs", **told, "way": "graph", "per_s": n * rate(device, pack.captured(), pack.feed)}
        )
        peak = torch.cuda.max_memory_allocated(device.torch)
        rows.append({"measured": "memory", **told, "kib_a_member": peak / n / 1024})
    return rows


def plain(device: Device, shape: tuple[int, int], processes: int) -> dict[str, Any]:
    """Member-steps a second of plain networks, one a process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        rates = pool.starmap(_plain_rate, [(device, shape)] * processes)
    width, batch = shape
    return {"measured": "plain", "width": width, "batch": batch, "processes": processes, "per_s": sum(rates)}


def _plain_rate(device: Device, shape: tuple[int, int]) -> float:
    width, batch = shape
    torch.set_num_threads(1)
    layers = [nn.Linear(N_INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, N_CLASSES)]
    net = nn.Sequential(*layers).to(device.torch)
    optimizer, loss_of = torch.optim.Adam(net.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    inputs, targets = _digits(batch, batch, device.torch)
    classes = targets.argmax(dim=1)
    at = [0]

    def step() -> None:
        optimizer.zero_grad()
        loss_of(net(inputs[at[0]]), classes[at[0]]).backward()
        optimizer.step()

    def feed(number: int) -> None:
        at[0] = number % len(inputs)

    return rate(device, step, feed)


def grid(device: Device, strata: int) -> list[dict[str, Any]]:
    """Rows of a sample of the grid, batch sizes in turn, and one for the whole grid."""
    draw = random.Random(0)
    pairs = draw.sample([(a, b) for a in GRID_UNITS for b in GRID_UNITS], strata)
    rows, seconds = [], {batch: list[float]() for batch in GRID_BATCHES}
    for i, hidden in enumerate(pairs):
        batch = GRID_BATCHES[i % len(GRID_BATCHES)]
        n, per_s = _largest(device, hidden, batch)
        rows.append({"measured": "grid", "hidden": list(hidden), "batch": batch, "members": n, "per_s": per_s})
        seconds[batch].append(1 / per_s)
    share = GRID_CONFIGURATIONS * GRID_REPEATS / len(GRID_BATCHES)
    steps = {batch: math.ceil(GRID_ROWS / batch) * GRID_EPOCHS for batch in GRID_BATCHES}
    measured = {batch: times for batch, times in seconds.items() if times}
    total = sum(share * steps[batch] * sum(times) / len(times) for batch, times in measured.items())
    everything = share * sum(steps[batch] for batch in measured)
    return [*rows, {"measured": "whole grid", "hours": total / 3600, "per_s": everything / total}]


def _largest(device: Device, hidden: tuple[int, ...], batch: int) -> tuple[int, float]:
    """The rate of the largest pack that fits, beginning with many; on a CPU with few."""
    n = GRID_MEMBERS if device.is_cuda else 16
    while True:
        try:
            pack = Pack(n, hidden, batch, device)
            return n, n * rate(device, pack.captured() if device.is_cuda else pack.step, pack.feed)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            n //= 2


def main() -> None:
    """Measure everything; one JSON record, the rows as they come on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--out", type=Path, help="where to write the record; standard output when left out")
    options = parser.parse_args()
    device = Device(torch.device(options.device), 0.05 if options.quick else 2.0)
    rows: list[dict[str, Any]] = []
    for found in _all(device, quick=options.quick):
        print(found, file=sys.stderr, flush=True)
        rows.append(found)
    name = torch.cuda.get_device_name(device.torch) if device.is_cuda else "CPU"
    record = json.dumps({"benchmark": "gpu", "device": name, "torch": torch.__version__, "rows": rows}, indent=2)
    if options.out:
        options.out.write_text(record + "\n")
    else:
        print(record)


def _all(device: Device, *, quick: bool) -> Any:
    yield agreement(device)
    for shape in SHAPES[: 1 if quick else None]:
        for n in MEMBERS[: 2 if quick else None]:
            yield from packs(device, shape, n)
        for processes in PROCESSES[: 1 if quick else None]:
            yield plain(device, shape, processes)
    yield from grid(device, 4 if quick else STRATA)


if __name__ == "__main__":
    main()
