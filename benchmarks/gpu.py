"""All measurements on a GPU in one call: `benchmarks/gpu.sh`.

It needs only torch, numpy and scikit-learn, uses `models/` directly, and holds its batches on the device. With
`--device cpu` it measures the same without CUDA graphs.

- agreement: losses of a pack on the device, in both precisions, and on the CPU, after some steps of the eager and
  of the fused backend;
- packs: member-steps a second against the number of members: eager, as a captured CUDA graph, and for narrow networks
  with the fused kernel, which takes all steps of an epoch; in float32 and with products rounded to tf32;
- plain: `nn.Sequential` and `torch.optim.Adam` on the same device, one network per process, by number of processes;
- grid: a sample of the published table's grid (widths 16 to 512 twice, four batch sizes) in packs as large as memory
  allows, and the time estimated from it for all 62,208 configurations of 100 epochs, four times each;
- memory: the peak memory of a pack;
- product: whole trainings by the worker's training loop, with one and with two packs in flight, with the fused kernel,
  and in tf32, with the change of the scores; only where the packages that a worker needs are installed.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu_pack import N_CLASSES, N_INPUTS, Device, Pack, digits

SHAPES = ((32, 32), (64, 128), (128, 128))
MEMBERS = (10, 100, 1000, 10_000)
PROCESSES = (1, 2, 4, 8)
KERNEL_WARPS = (4, 8)
STRATA = 24
PRODUCT_TRIALS, LEAST_ACCURACY = 2000, 0.9
PRODUCTS = (("float32", 1, False), ("float32", 2, False), ("float32", 2, True), ("tf32", 2, True))
"""Precision, packs in flight, and whether the fused backend may train packs: it is opt-in in the product."""
GRID_UNITS, GRID_BATCHES, GRID_CONFIGURATIONS, GRID_REPEATS = (16, 32, 64, 128, 256, 512), (8, 16, 32, 64), 62_208, 4
GRID_ROWS, GRID_EPOCHS, GRID_MEMBERS = 3525, 100, 8192


# -- measurements -----------------------------------------------------------------------------------------------


def agreement(device: Device, precision: str = "float32") -> dict[str, Any]:
    """Compare the losses of some members after 20 steps on the device with those on the CPU."""
    losses = []
    for where in (device, Device(torch.device("cpu"))):
        pack = Pack(16, (32, 32), 32, where, precision)
        for number in range(20):
            pack.feed(number)
            pack.step()
        losses.append(pack.losses)
    return _compared("agreement", *losses) | {"precision": precision}


def agreement_of_kernel(device: Device) -> Iterator[dict[str, Any]]:
    """Compare an epoch's losses by the fused kernel on the device with those of the eager backend on the CPU."""
    pack, other = Pack(4, (16,), 128, device), Pack(4, (16,), 128, Device(torch.device("cpu")))
    if pack.is_narrow:
        pack.fused(4)()
        total = torch.zeros_like(other.losses)
        for number in range(other.n_batches):
            other.feed(number)
            other.step()
            total += other.losses
        yield _compared("agreement of the kernel", pack.losses, total)


def _compared(what: str, found: Tensor, right: Tensor) -> dict[str, Any]:
    difference = ((found.cpu().double() - right.cpu().double()).abs() / right.cpu().double()).max().item()
    assert difference < 1e-2, f"the device learned something else: losses differ by {difference}"
    return {"measured": what, "largest_relative_difference": difference}


def rate(device: Device, act: Callable[[], None], feed: Callable[[int], None]) -> float:
    """Measure how often per second a batch can be fed and `act` be called."""
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


def packs(device: Device, shape: tuple[int, int], n: int, precision: str = "float32") -> list[dict[str, Any]]:
    """Measure one pack in every way that the device supports, and its memory; return the rows."""
    width, batch = shape
    if device.is_cuda:
        torch.cuda.reset_peak_memory_stats(device.torch)
    pack = Pack(n, (width, width), batch, device, precision)
    told = {"width": width, "batch": batch, "members": n, "precision": precision}
    rows = [
        {"measured": "packs", **told, "way": way, "per_s": n * rate(device, act, feed) * steps}
        for way, act, feed, steps in _ways(pack)
    ]
    if device.is_cuda:
        peak = torch.cuda.max_memory_allocated(device.torch)
        rows.append({"measured": "memory", **told, "kib_a_member": peak / n / 1024})
    return rows


def _ways(pack: Pack) -> Iterator[tuple[str, Callable[[], None], Callable[[int], None], int]]:
    """List the ways to take steps: name, function that steps, function that feeds it, steps in each call."""
    yield "eager", pack.step, pack.feed, 1
    if pack.device.is_cuda:
        yield "graph", pack.captured(), pack.feed, 1
        for warps in KERNEL_WARPS if pack.is_narrow else ():
            yield f"kernel of {warps} warps", pack.fused(warps), lambda _: None, pack.n_batches


def plain(device: Device, shape: tuple[int, int], processes: int) -> dict[str, Any]:
    """Measure the member-steps per second of plain PyTorch networks, one in each process."""
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
    inputs, targets = digits(batch, batch, device.torch)
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
    """Measure a sample of the grid, the batch sizes in turn; return its rows and an estimate for the whole grid."""
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
    """Find the largest pack that fits, by halving its size until it does, and measure its fastest rate.

    Returns:
        The number of members, and member-steps a second.
    """
    n = GRID_MEMBERS if device.is_cuda else 16
    while True:
        try:
            found = [
                n * rate(device, act, feed) * steps for _, act, feed, steps in _ways(Pack(n, hidden, batch, device))
            ]
            return n, max(found)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            n //= 2


def main() -> None:
    """Measure everything; write one JSON record, and each row to standard error as soon as it is measured."""
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
    precisions = ("float32", "tf32") if device.is_cuda else ("float32",)
    for precision in precisions:
        yield agreement(device, precision)
    yield from agreement_of_kernel(device)
    for shape in SHAPES[: 1 if quick else None]:
        for n in MEMBERS[: 2 if quick else None]:
            for precision in precisions:
                yield from packs(device, shape, n, precision)
        for processes in PROCESSES[: 1 if quick else None]:
            yield plain(device, shape, processes)
    yield from grid(device, 4 if quick else STRATA)
    yield from product(device, 4 if quick else PRODUCT_TRIALS)


def product(device: Device, trials: int) -> Iterator[dict[str, Any]]:
    """Measure whole trainings by the worker's training loop."""
    try:
        from benchmarks.sides import digits as source_of
        from benchmarks.sides import train_packed
        from foldstep.worker.settings import PACK_BYTES_CUDA
        from foldstep.worker.steps.engine import Engine
    except ImportError as missing:
        yield {"measured": "product", "not_measured": str(missing)}
        return
    rates = np.geomspace(3e-4, 1e-2, trials)
    same = {"hidden": [32, 32], "batch_size": 32, "epochs": 20}
    exact: list[float] = []
    for precision, at_once, may_fuse in PRODUCTS:
        share = [(i, {**same, "lr": float(r), "precision": precision}) for i, r in enumerate(rates)]
        begun = time.perf_counter()
        engine = Engine(device.torch, PACK_BYTES_CUDA, may_fuse=may_fuse, packs_in_flight=at_once)
        steps, scores = train_packed(source_of(5), share, engine=engine)
        per_s = steps / (time.perf_counter() - begun)
        found = [max(scores[key]) for key in sorted(scores)]
        exact = exact or found
        assert np.median(found) > LEAST_ACCURACY, f"the product learned nothing: {np.median(found)}"
        yield {
            "measured": "product",
            "precision": precision,
            "packs_in_flight": at_once,
            "may_fuse": may_fuse,
            "members": len(scores),
            "per_s": per_s,
            "accuracy": float(np.median(found)),
            "moved": float(np.median(np.abs(np.subtract(found, exact)))),
        }


if __name__ == "__main__":
    main()
