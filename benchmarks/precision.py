"""The effect of `precision: bfloat16` on scores and speed: the same configurations trained both ways.

Rounding changes every score a little, as another seed does, which is acceptable. So each configuration is trained
three times: in float32, with rounded products, and in float32 from another seed. A configuration's score is the mean
over its folds of each fold's best epoch, as in a search. Rounding is harmless if it changes scores no more than
another seed does, without bias, and finds as good a winner. Times are processor seconds of one process.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.report import arguments, publish
from benchmarks.search import CASES, problem_of
from benchmarks.sides import ScoreKeeper, digits
from foldstep.models.compiled.library import library
from foldstep.models.hyperparameters import resolve
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member

EPOCHS, CONFIGURATIONS = 30, 40
WAYS: dict[str, dict[str, Any]] = {"float32": {}, "bfloat16": {"precision": "bfloat16"}, "other seed": {"seed": 1}}
DIGITS = "digits"
FILES = {case.file.partition(".")[0]: case for case in CASES}

Scores = list[float]


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    assert library().has_tiles, "this processor is not faster for bfloat16: there is nothing to measure"
    torch.set_num_threads(1)
    n = 6 if options.quick else CONFIGURATIONS
    rows = [measure(name, n) for name in ([DIGITS] if options.quick else [DIGITS, *FILES])]
    publish(
        "precision", options, rows, configurations=n, epochs=EPOCHS,
        unit="differences to float32: what rounding moves beside what another seed moves; mean and its standard error",
    )  # fmt: skip


def drawn(n: int) -> list[dict[str, Any]]:
    """Draw configurations of networks with 16 to 256 units in each hidden layer."""
    draw = random.Random(0)
    return [
        {
            "lr": 10 ** draw.uniform(-4, -1.5),
            "width": round(16 * 16 ** draw.random()),
            "depth": draw.choice([1, 2, 3]),
            "activation": draw.choice(["relu", "gelu", "tanh"]),
            "batch_size": draw.choice([32, 64, 128]),
            "epochs": EPOCHS,
        }
        for _ in range(n)
    ]


def measure(name: str, n: int) -> dict[str, Any]:
    """Measure one data set; return one row."""
    metric, source = data(name)
    configurations = drawn(n)
    train(source, metric, configurations[:1])  # warm up: builds what is built only once
    found = {way: train(source, metric, [{**c, **more} for c in configurations]) for way, more in WAYS.items()}
    full, seconds = found["float32"]
    rounded, rounded_seconds = found["bfloat16"]
    reseeded = found["other seed"][0]
    best = max if metric == "accuracy" else min
    assert spearmanr(full, rounded).statistic > 0.5, f"{name}: rounded products learned something else"
    return {
        "data": name,
        "metric": metric,
        "moved_by_rounding": moved(full, rounded),
        "moved_by_seed": moved(full, reseeded),
        **bias(full, rounded),
        "rank_correlation": correlation(full, rounded),
        "rank_correlation_of_seeds": correlation(full, reseeded),
        "best_float32": best(full),
        "best_bfloat16": best(rounded),
        "best_other_seed": best(reseeded),
        "seconds_float32": round(seconds, 1),
        "times_as_fast": round(seconds / rounded_seconds, 2),
    }


def data(name: str) -> tuple[str, FoldSource]:
    """Load the metric and the folds of a data set."""
    if name == DIGITS:
        return "accuracy", digits(5)
    problem = problem_of(FILES[name], seed=0)
    return problem.metric, problem.source


def train(source: FoldSource, metric: str, configurations: Sequence[dict[str, Any]]) -> tuple[Scores, float]:
    """Train the configurations; return the score of each, and the processor seconds of all."""
    hps = [resolve(c) for c in configurations]
    members = [Member(trial, fold, hp) for trial, hp in enumerate(hps) for fold in range(source.n_folds)]
    watch = ScoreKeeper()
    begun = time.process_time()
    Training(source, metric, Engine(torch.device("cpu"), PACK_BYTES_CPU)).train(members, watch)
    seconds = time.process_time() - begun
    best = np.nanmax if metric == "accuracy" else np.nanmin
    folds = range(source.n_folds)
    return [statistics.mean(float(best(watch.scores[i, fold])) for fold in folds) for i in range(len(hps))], seconds


def moved(scores: Scores, others: Scores) -> float:
    """Compute the median absolute difference."""
    return statistics.median(abs(a - b) for a, b in zip(scores, others, strict=True))


def bias(scores: Scores, others: Scores) -> dict[str, float]:
    """Compute the mean difference of the other scores to the first, and its standard error."""
    differences = [b - a for a, b in zip(scores, others, strict=True)]
    return {
        "mean_difference": statistics.mean(differences),
        "standard_error": statistics.stdev(differences) / math.sqrt(len(differences)),
    }


def correlation(scores: Scores, others: Scores) -> float:
    """Compute Spearman's rank correlation."""
    return round(float(spearmanr(scores, others).statistic), 3)


if __name__ == "__main__":
    main()
