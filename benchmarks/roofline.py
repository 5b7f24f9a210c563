"""How near the engine comes to the limits of one core, matrix products and memory, measured in the same run.

First the core: the rate of a large matrix product in float32, and the rates of a copy within the cache and beyond it
(a copy moves two bytes for each byte copied). Then the engine, one process with one thread, packs as a worker makes
them: member-steps a second of the steps alone, and of whole epochs with validation and all other overhead.

The operations of a member-step are counted, not measured: a multiply-add is two operations. For a layer with n_in and
n_out units and a batch of b rows, the forward product and the weight gradient take 2 b n_in n_out each, and so does the
gradient for the layer below, which the first layer does not need. Only matrix products are counted; other work adds
time only. Bytes are those that have to move if nothing stays in a cache from step to step: parameters, gradients and
Adam's two moments are read and written once (p, m, v both ways; g written and read; p read by both passes);
activations and their gradients are written once and read twice.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch

from benchmarks import sides
from benchmarks.report import arguments, publish
from benchmarks.throughput import FOLDS, SHAPES, configurations
from foldstep.models.hyperparameters import resolve
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member

LARGE = 1024  # side of the matrices that give the rate
CACHED, BEYOND = 1 << 18, 1 << 28  # bytes of the buffers that are copied
N_INPUTS, N_OUTPUTS = 64, 10  # of digits


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    turns = 2 if options.quick else 5
    flops = matrix_rate(turns)
    cached, beyond = copy_rate(CACHED, turns), copy_rate(BEYOND, turns)
    rows = [measure(width, batch, flops, cached, beyond, turns) for width, batch in SHAPES]
    publish(
        "roofline", options, rows,
        matrix_gflops=flops / 1e9, cached_gb_s=cached / 1e9, memory_gb_s=beyond / 1e9,
        unit="one process, one thread; shares of the rate of a large matrix product; medians",
        goal="share_of_steps 0.5 at (128, 128)", load_before=os.getloadavg()[0],
    )  # fmt: skip


def matrix_rate(turns: int) -> float:
    """Measure the operations per second of a large float32 matrix product."""
    a, b, out = torch.randn(LARGE, LARGE), torch.randn(LARGE, LARGE), torch.empty(LARGE, LARGE)
    return 2 * LARGE**3 / _seconds(lambda: torch.mm(a, b, out=out), turns, repeat=10)


def copy_rate(n_bytes: int, turns: int) -> float:
    """Measure the bytes per second, read and written, of copying a buffer."""
    source, target = torch.ones(n_bytes // 4), torch.empty(n_bytes // 4)
    return 2 * n_bytes / _seconds(lambda: target.copy_(source), turns, repeat=max(1, (1 << 29) // n_bytes))


def _seconds(act: Callable[[], object], turns: int, *, repeat: int) -> float:
    """Measure the seconds of one call: the median of `turns` turns after one that is not counted."""
    took = []
    for _ in range(turns + 1):
        begun = time.perf_counter()
        for _ in range(repeat):
            act()
        took.append((time.perf_counter() - begun) / repeat)
    return statistics.median(took[1:])


def measure(width: int, batch: int, flops: float, cached: float, beyond: float, turns: int) -> dict[str, Any]:
    """Measure networks with two hidden layers of one width, at one batch size; return one row.

    Args:
        width: units of each hidden layer.
        batch: rows of a mini-batch.
        flops: operations a second of a large matrix product.
        cached: bytes a second of a copy within the cache.
        beyond: bytes a second of a copy beyond the cache.
        turns: repetitions.
    """
    steps, whole = engine(width, batch, turns)
    sizes = (N_INPUTS, width, width, N_OUTPUTS)
    operations, moved = count_operations(sizes, batch), count_bytes(sizes, batch)
    return {
        "width": width,
        "batch": batch,
        "operations": operations,
        "bytes": moved,
        "steps_per_s": steps,
        "whole_per_s": whole,
        "share_of_steps": round(steps * operations / flops, 3),
        "share_of_whole": round(whole * operations / flops, 3),
        "cache_bound_per_s": cached / moved,
        "memory_bound_per_s": beyond / moved,
    }


def count_operations(sizes: Sequence[int], batch: int) -> int:
    """Count the operations of the matrix products in one step of one member."""
    layers = [2 * batch * n_in * n_out for n_in, n_out in pairwise(sizes)]
    return 3 * sum(layers) - layers[0]


def count_bytes(sizes: Sequence[int], batch: int) -> int:
    """Count the bytes that one step of one member moves in float32 if nothing stays in a cache."""
    n_parameters = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    n_activations = batch * sum(sizes[1:])
    return 4 * ((2 * 3 + 2 + 2) * n_parameters + 2 * 3 * n_activations)


def engine(width: int, batch: int, turns: int) -> tuple[float, float]:
    """Measure the member-steps per second of the steps alone, and of whole epochs."""
    source = sides.digits(FOLDS)
    share = list(enumerate(configurations(width, batch, 40, 2)))
    training = Training(source, "accuracy", Engine(torch.device("cpu"), PACK_BYTES_CPU))
    members = [Member(trial, fold, resolve(c)) for trial, c in share for fold in range(FOLDS)]
    trainers = [training.trainer(pack) for pack in training.packs(members)]
    n_steps = sum(len(t.members) * t.n_steps for t in trainers)
    epoch = iter(range(1, 1_000_000))

    def train() -> None:
        number = next(epoch)
        for trainer in trainers:
            trainer.train_epoch(number)

    alone = n_steps / _seconds(train, turns, repeat=1)
    taken = [_whole(source, share) for _ in range(turns)]
    return alone, statistics.median(taken)


def _whole(source: Any, share: Any) -> float:
    begun = time.perf_counter()
    steps, _ = sides.train_packed(source, share)
    return steps / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
