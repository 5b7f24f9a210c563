"""Member-steps a second: packed against plain PyTorch, side by side in one run.

Both sides train the same configurations on the same folds of scikit-learn's digits for the same epochs, with the
same initial weights and the same order of rows, and score the validation part after every epoch. Both use two
processes with one thread each. Plain is `nn.Sequential` and `torch.optim.Adam`, with the batches taken by indexing
a tensor, which is faster than a `DataLoader`.
Two cases have embeddings of numbers (PLR, PBLD) on 10 columns; their plain module is the tests' own, written from the
papers.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.report import arguments, median_and_spread, publish

SHAPES = ((32, 32), (64, 128), (128, 128))
EMBEDDED = ((64, 128, "plr"), (64, 128, "pbld"))
"""Width, batch size and number embedding; of 10 numeric columns."""
GOALS = {(32, 32): 25, (64, 128): 8, (128, 128): 3}
GOAL_EMBEDDED = 8
FOLDS = 5
PROCESSES = 2
Result = dict[tuple[int, int], list[float]]
"""The validation accuracy in each epoch, by (trial, fold)."""


def configurations(width: int, batch: int, n_trials: int, epochs: int, embedding: str = "none") -> list[dict[str, Any]]:
    """Make configurations with two hidden layers and learning rates on a log scale."""
    rates = np.geomspace(3e-4, 1e-2, n_trials)
    shared: dict[str, Any] = {"hidden": [width, width], "batch_size": batch, "epochs": epochs, "seed": 0}
    shared |= {} if embedding == "none" else {"number_embedding": embedding}
    return [{**shared, "lr": float(rate)} for rate in rates]


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    repetitions = 1 if options.quick else 5
    n_trials, epochs = (16, 2) if options.quick else (40, 4)
    shapes = [*((*shape, "none") for shape in SHAPES), *EMBEDDED]
    rows = [measure(width, batch, n_trials, epochs, repetitions, embedding) for width, batch, embedding in shapes]
    publish(
        "throughput", options, rows,
        data="digits, 5 folds; with embeddings 1,797 made rows of 10 numbers",
        trials=n_trials, epochs=epochs, processes=PROCESSES, repetitions=repetitions,
        unit="member-steps a second: optimiser steps times networks, validation after each epoch in the time",
    )  # fmt: skip


def measure(
    width: int, batch: int, n_trials: int, epochs: int, repetitions: int, embedding: str = "none"
) -> dict[str, Any]:
    """Measure both sides by turns; return one row."""
    configured = configurations(width, batch, n_trials, epochs, embedding)
    n_plain = max(2, n_trials // 10)  # the time of a plain step does not depend on their number
    packed, plain = [], []
    largest_difference = 0.0
    for _ in range(repetitions):
        speed, packed_result = run("packed", configured)
        packed.append(speed)
        speed, plain_result = run("plain", configured[:: n_trials // n_plain][:n_plain])
        plain.append(speed)
        largest_difference = max(largest_difference, difference(packed_result, plain_result, n_trials // n_plain))
    ratio = median_and_spread(packed)[0] / median_and_spread(plain)[0]
    return {
        "width": width,
        "batch": batch,
        "embedding": embedding,
        "packed": median_and_spread(packed)[0],
        "packed_range": [round(v) for v in median_and_spread(packed)[1:]],
        "plain": median_and_spread(plain)[0],
        "plain_range": [round(v) for v in median_and_spread(plain)[1:]],
        "ratio": round(ratio, 2),
        "goal": GOALS[width, batch] if embedding == "none" else GOAL_EMBEDDED,
        "largest_score_difference": largest_difference,
    }


def difference(packed: Result, plain: Result, stride: int) -> float:
    """Compute the largest difference of the last epoch's accuracy between the sides, over members that both trained."""
    pairs = [(scores[-1], packed[trial * stride, fold][-1]) for (trial, fold), scores in plain.items()]
    found = max(abs(a - b) for a, b in pairs)
    assert found < 0.02, f"the two sides did not learn the same thing: scores differ by {found}"
    return found


def run(side: str, configured: Sequence[dict[str, Any]]) -> tuple[float, Result]:
    """Train one side in two processes; return the member-steps per second, and the scores."""
    context = multiprocessing.get_context("spawn")
    ready, results = context.Barrier(PROCESSES), context.Queue()
    # trials are dealt out in turn, so that both processes have the same amount of work
    shares = [list(enumerate(configured))[i::PROCESSES] for i in range(PROCESSES)]
    children = [context.Process(target=_child, args=(side, share, ready, results)) for share in shares]
    for child in children:
        child.start()
    answers = [results.get() for _ in children]
    for child in children:
        child.join()
    begun, ended = min(a[0] for a in answers), max(a[1] for a in answers)
    scores: Result = {}
    for answer in answers:
        scores |= answer[3]
    return sum(a[2] for a in answers) / (ended - begun), scores


def _child(side: str, share: list[tuple[int, dict[str, Any]]], ready: Any, results: Any) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    from benchmarks import sides

    source = sides.digits(FOLDS) if "number_embedding" not in share[0][1] else sides.numbers(FOLDS)
    train = sides.train_packed if side == "packed" else sides.train_plain
    train(source, [(t, {**c, "epochs": 1}) for t, c in share[:1]])  # warm up
    ready.wait()
    begun = time.time()
    steps, scores = train(source, share)
    results.put((begun, time.time(), steps, scores))


if __name__ == "__main__":
    main()
