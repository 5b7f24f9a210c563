"""A mixed space against homogeneous packs: the time lost because the members of a mixed space differ.

Widths from 16 to 512, one to five layers, four batch sizes, eight activations, on the folds of scikit-learn's digits,
one process with one thread. Mixed: all configurations in one call, cut into packs as a worker does. Homogeneous: for
each configuration copies that differ only in the learning rate; the times per copy, summed over the configurations.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.report import arguments, median_and_spread, publish
from benchmarks.sides import ScoreKeeper, digits
from benchmarks.whole_search import SPACES
from foldstep.models.hyperparameters import resolve
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member

FOLDS, EPOCHS, COPIES, GOAL = 5, 2, 8, 1.5
Configuration = dict[str, Any]


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    n, turns = (4, 1) if options.quick else (16, 3)
    rows = [measure(step, n, turns) for step in ("compiled", "eager")]
    publish("mixed", options, rows, epochs=EPOCHS, folds=FOLDS, goal=GOAL, unit="seconds, medians over drawn spaces")


def drawn(n: int, seed: int) -> list[Configuration]:
    """Draw configurations of the mixed space."""
    draw, space = random.Random(seed), SPACES["mixed"]
    low, high = space["width"]["low"], space["width"]["high"]
    return [
        {
            "width": round(low * (high / low) ** draw.random()),
            "depth": draw.choice(space["depth"]),
            "activation": draw.choice(space["activation"]),
            "batch_size": draw.choice(space["batch_size"]),
            "lr": 10 ** draw.uniform(-4, -2),
            "epochs": EPOCHS,
        }
        for _ in range(n)
    ]


def measure(step: str, n: int, turns: int) -> dict[str, Any]:
    """Measure some draws with one backend, compiled or eager; return one row."""
    engine = Engine(torch.device("cpu"), PACK_BYTES_CPU, may_compile=step == "compiled")
    training = Training(digits(FOLDS), "accuracy", engine)
    taken = [both(training, drawn(n, seed)) for seed in range(turns)]
    ratio, low, high = median_and_spread([mixed / homogeneous for mixed, homogeneous in taken])
    seconds = {
        name: round(statistics.median(values), 2)
        for name, values in zip(("mixed_s", "homogeneous_s"), zip(*taken, strict=True), strict=True)
    }
    told = {"step": step, "configurations": n, **seconds}
    return told | {"ratio": round(ratio, 2), "least": round(low, 2), "greatest": round(high, 2)}


def both(training: Training, configurations: Sequence[Configuration]) -> tuple[float, float]:
    """Measure the seconds of the mixed packs, and the summed seconds per copy of the homogeneous ones."""
    train(training, configurations[:1])  # warm up: builds what is built only once
    mixed = train(training, configurations)
    copies = [[{**c, "lr": c["lr"] * (1 + i / COPIES)} for i in range(COPIES)] for c in configurations]
    return mixed, sum(train(training, same) / COPIES for same in copies)


def train(training: Training, configurations: Sequence[Configuration]) -> float:
    """Train all folds of some configurations; return the seconds."""
    hps = enumerate(resolve(c) for c in configurations)
    members = [Member(trial, fold, hp) for trial, hp in hps for fold in range(FOLDS)]
    begun = time.perf_counter()
    training.train(members, ScoreKeeper())
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
