"""A whole search, from the command to the leaderboard: Foldstep against Optuna, scikit-learn and skorch.

Foldstep is measured in float32 and, on processors that are faster with it, with products rounded to bfloat16, by turns.

Foldstep draws configurations at random and trains them on the folds of scikit-learn's digits; then the other sides
train the same configurations, folds and epochs, each in two processes with one thread; start-up is included. Optuna
is given them by `enqueue_trial`, around a plain PyTorch loop; scikit-learn and skorch (where it is installed) search
them with `GridSearchCV`, `n_jobs=2`, which is what `RandomizedSearchCV` does after drawing. The space `small` has only
what all sides support; `mixed` has widths from 16 to 512, one to five layers, four batch sizes and eight activations,
most of which scikit-learn lacks; skorch, the slowest in `small`, is left out there.

The scores of all configurations are checked to be close in the median and in nearly the same order on all sides. The
speed of the machine during each side is given by its rate of a large matrix product.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

from benchmarks.report import arguments, median_and_spread, publish
from benchmarks.roofline import matrix_rate
from foldstep.models.compiled.library import library
from foldstep.service.contract.processes import python_command

FOLDS, EPOCHS = 5, 30
ACTIVATIONS = ["relu", "leaky_relu", "elu", "gelu", "silu", "relu6", "tanh", "sigmoid"]
COMMON = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "epochs": EPOCHS}
SPACES: dict[str, dict[str, Any]] = {
    "small": {
        **COMMON,
        "width": {"low": 16, "high": 128, "log": True},
        "depth": [1, 2],
        "activation": ["relu", "tanh"],
        "batch_size": 64,
    },
    "mixed": {
        **COMMON,
        "width": {"low": 16, "high": 512, "log": True},
        "depth": [1, 2, 3, 4, 5],
        "activation": ACTIVATIONS,
        "batch_size": [16, 32, 64, 128],
    },
}
TRIALS = 200
RIVALS = {"small": ("optuna", "scikit-learn", "skorch"), "mixed": ("optuna",)}
GOALS = {"small": 10, "mixed": 5}
MAX_DIFFERENCE, MIN_CORRELATION = 0.02, 0.7

PRECISIONS = ("float32", "bfloat16")

Board = list[dict[str, Any]]
Scores = list[float]


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    rows = []
    for space in SPACES:
        trials = 10 if options.quick else TRIALS
        rows += measure(space, trials, repetitions=1 if options.quick else 5)
    publish(
        "whole_search", options, rows,
        data="digits", folds=FOLDS, epochs=EPOCHS, goals=GOALS, processes=2,
        unit="seconds from the command to the leaderboard; medians, the other sides measured once each",
    )  # fmt: skip


def measure(space: str, trials: int, repetitions: int) -> list[dict[str, Any]]:
    """Measure every side on one space; return one row for each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        rows, board = measure_own(folder, space, trials, repetitions)
        (folder / "configurations.json").write_text(json.dumps([trial["params"] for trial in board]))
        for side in [s for s in RIVALS[space] if s != "skorch" or find_spec("skorch")]:
            speed = machine_rate()
            seconds, answer = timed(partial(run_rival, folder, side))
            rows.append(row(space, trials, side, seconds, answer, board) | speed)
    for told in rows:
        told["ratio"] = round(told["seconds"] / rows[0]["seconds"], 2)
    return rows


def measure_own(folder: Path, space: str, trials: int, repetitions: int) -> tuple[list[dict[str, Any]], Board]:
    """Measure Foldstep; return one row for each precision, and the leaderboard in float32."""
    precisions = PRECISIONS if library().has_tiles else PRECISIONS[:1]
    took: dict[str, list[float]] = {precision: [] for precision in precisions}
    boards: dict[str, Board] = {}
    speed = machine_rate()
    for _ in range(repetitions):
        for precision in precisions:
            seconds, boards[precision] = timed(partial(run_foldstep, folder, space, trials, precision))
            took[precision].append(seconds)
    right = boards[precisions[0]]
    rows = []
    for precision in precisions:
        seconds, low, high = median_and_spread(took[precision])
        scores = in_order_of(right, boards[precision])
        told = row(space, trials, f"foldstep, {precision}", seconds, scores, right)
        rows.append(told | speed | {"least_s": low, "greatest_s": high})
    return rows, right


def in_order_of(board: Board, other: Board) -> Scores:
    """List the scores of another leaderboard in the order of the trials on the first."""
    scores = {trial["trial"]: trial["score"] for trial in other}
    return [scores[trial["trial"]] for trial in board]


def machine_rate() -> dict[str, float]:
    """Measure the rate of a large matrix product with one thread, in GFLOP/s."""
    return {"matrix_gflops": round(matrix_rate(5) / 1e9)}


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Call a function; return the seconds that it took, and its result."""
    begun = time.monotonic()
    answer = act()
    return time.monotonic() - begun, answer


def row(space: str, trials: int, side: str, seconds: float, theirs: Scores, board: Board) -> dict[str, Any]:
    """Make the row of one side; assert that its scores agree with those of the leaderboard."""
    ours = [trial["score"] for trial in board]
    difference = statistics.median(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    correlation = float(spearmanr(ours, theirs).statistic)
    assert difference < MAX_DIFFERENCE, f"{side} did not learn the same thing: scores differ by {difference}"
    assert correlation > MIN_CORRELATION, f"{side} did not learn the same thing: rank correlation {correlation}"
    told = {"space": space, "trials": trials, "side": side, "seconds": round(seconds, 1), "best": max(theirs)}
    print(told, file=sys.stderr, flush=True)
    return told | {"median_difference": difference, "rank_correlation": round(correlation, 3)}


def write_data(folder: Path) -> None:
    """Write the digits as CSV with a column for each row's fold."""
    bunch = load_digits()
    fold = np.random.default_rng(0).permutation(len(bunch.target)) % FOLDS
    with (folder / "digits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"x{i}" for i in range(bunch.data.shape[1])), "target", "fold"])
        writer.writerows(np.column_stack([bunch.data, bunch.target, fold]).astype(int).tolist())


def run_foldstep(folder: Path, space: str, trials: int, precision: str) -> Board:
    """Run a random search with `foldstep run` as a user would; return the leaderboard."""
    spec = {
        "name": "benchmark",
        "method": "random",
        "data": {"dataset": "digits.csv", "target": "target", "task": "classification"},
        "cv": {"column": "fold"},
        "metric": "accuracy",
        "parameters": {**SPACES[space], "precision": precision},
        "budget": {"trials": trials},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    with tempfile.TemporaryDirectory() as data:
        argv = python_command("foldstep", "run", "spec.json", "--dir", data, "--workers", "2", "--json")
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    board: Board = [trial for trial in json.loads(done.stdout) if trial["score"] is not None]
    assert len(board) == trials
    return board


def run_rival(folder: Path, side: str) -> Scores:
    """Train all configurations with another side, in a separate process; return the scores."""
    argv = [sys.executable, "-m", "benchmarks.whole_rivals", side, str(folder)]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **one_thread, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    scores: Scores = json.loads(done.stdout)
    return scores


if __name__ == "__main__":
    main()
