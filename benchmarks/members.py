"""The time of a member-step and the memory of a member, from 10 to 10,000 members: one process with one thread.

Members have two hidden layers and train on scikit-learn's digits. Their time is measured in whole trainings of a few
epochs, in packs as a worker makes them; their memory in a single pack, as the growth of the process's peak over that of
a training of one trial, and compared with the packer's estimate.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.report import arguments, publish

MEMBERS = (10, 30, 100, 300, 1000, 3000, 10_000)
IN_ONE_PACK = (100, 300, 1000)
SHAPES = ((32, 32), (64, 128))
FOLDS, EPOCHS, TURNS = 5, 4, 5


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    members, turns = (MEMBERS[:3], 1) if options.quick else (MEMBERS, TURNS)
    rows: list[dict[str, Any]] = [cost(n, turns) for n in members]
    rows += [memory(width, batch, n) for width, batch in SHAPES for n in IN_ONE_PACK[: 1 if options.quick else None]]
    publish(
        "members", options, rows,
        epochs=EPOCHS, repetitions=turns, unit="microseconds a member-step, validation in the time; KiB a member",
    )  # fmt: skip


def cost(n: int, turns: int) -> dict[str, Any]:
    """Measure the time of a member-step; return one row."""
    width, batch = SHAPES[0]
    taken = [_child(n, width, batch, in_one_pack=False)["us"] for _ in range(turns)]
    return {"measured": "time", "members": n, "width": width, "batch": batch, "us": round(statistics.median(taken), 2)}


def memory(width: int, batch: int, n: int) -> dict[str, Any]:
    """Measure the memory of a member and compare it with the packer's estimate; return one row."""
    few, many = (_child(size, width, batch, in_one_pack=True) for size in (FOLDS, n))
    peak = (many["peak_kib"] - few["peak_kib"]) / (n - FOLDS)
    row = {"measured": "memory", "members": n, "width": width, "batch": batch, "kib": round(peak, 1)}
    return row | {"estimate_kib": round(many["estimate_kib"], 1), "ratio": round(many["estimate_kib"] / peak, 2)}


def _child(n: int, width: int, batch: int, *, in_one_pack: bool) -> dict[str, float]:
    argv = [
        sys.executable,
        "-m",
        "benchmarks.members",
        "--child",
        str(n),
        str(width),
        str(batch),
        str(int(in_one_pack)),
    ]
    answer: dict[str, float] = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    return answer


def _measure(n: int, width: int, batch: int, in_one_pack: int) -> dict[str, float]:
    """Train in this process; measure microseconds a member-step, peak KiB, and estimated KiB a member."""
    import torch

    from benchmarks import sides
    from benchmarks.throughput import configurations
    from foldstep.models.hyperparameters import resolve
    from foldstep.worker.settings import PACK_BYTES_CPU
    from foldstep.worker.steps.engine import Engine
    from foldstep.worker.train.loop import Training
    from foldstep.worker.train.member import Member

    source = sides.digits(FOLDS)
    trials = enumerate(configurations(width, batch, n // FOLDS, EPOCHS))
    members = [Member(trial, fold, resolve(c)) for trial, c in trials for fold in range(FOLDS)]
    engine = Engine(torch.device("cpu"), 1 << 40 if in_one_pack else PACK_BYTES_CPU)
    training, watch = Training(source, "accuracy", engine), sides.ScoreKeeper()
    estimate = sum(map(training.estimated_bytes, members)) / n / 1024
    begun = time.perf_counter()
    training.train(members, watch)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"us": 1e6 * seconds / watch.steps, "peak_kib": peak, "estimate_kib": estimate}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_measure(*map(int, sys.argv[2:]))))
    else:
        main()
