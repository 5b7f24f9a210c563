"""The best validation score found in equal wall time on two cores: Foldstep, Optuna, scikit-learn; then a test part.

All three search the same ranges on the same rows and folds, start-up included. Optuna is TPE with a median pruner
around a plain PyTorch objective, k-fold inside it, in two processes on one storage; scikit-learn is
`HalvingRandomSearchCV` over its own networks with `n_jobs=2`, repeated with new seeds until the time is up. A score of
Foldstep and of Optuna is the mean over the folds of each fold's best epoch, one of scikit-learn that of its last
iteration. Then the winners are scored on rows that no side has used, in two ways. `test` is the score of what a user
gets: from Foldstep the mean prediction of the winner's checkpoints (`foldstep predict`); from Optuna and scikit-learn a
network trained anew on all rows of the search. `refit` is the score of a network trained anew on all sides: by
scikit-learn for its winner, by the packed engine for those of Foldstep and Optuna, for the mean number of epochs that
their folds took to their best. A network is trained anew five times with different seeds, and the five scores are
averaged. The paired differences to Foldstep's scores are given with their standard errors over the seeds of the search.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rivals
from benchmarks.report import arguments, median_and_spread, publish
from benchmarks.rivals import Found, Problem
from foldstep.models.catalog.tasks import Task
from foldstep.options import NO_WINNER
from foldstep.service.contract.fields import MetricName
from foldstep.service.contract.processes import python_command

DATA = Path(__file__).parents[2] / "shared" / "data"
SECONDS, SEEDS, FOLDS, TEST_SHARE = 60.0, 5, 5, 0.2
STARTUP_S = 6.0
"""Seconds of the wall time that Foldstep's time budget does not count: start-up and the report at the end."""


@dataclass(frozen=True)
class Case:
    """One data set."""

    file: str
    target: str
    task: Task
    batch_size: int

    @property
    def metric(self) -> MetricName:
        """Metric of the search."""
        return "accuracy" if self.task == "classification" else "rmse"


CASES = (
    Case("concrete.csv", "strength", "regression", 32),
    Case("phoneme.csv.gz", "target", "classification", 128),
    Case("parkinsons.csv.gz", "total_updrs", "regression", 128),
)
DEFAULT = "foldstep tpe"


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    seconds, seeds = (25.0, 1) if options.quick else (SECONDS, SEEDS)
    sides: dict[str, Callable[[Problem, Path, float], Found]] = {
        DEFAULT: partial(foldstep, "tpe"),
        "optuna": rivals.optuna_tpe,
        "scikit-learn": rivals.halving,
    }
    rows = [row for case in CASES[: 1 if options.quick else None] for row in compare(case, sides, seconds, seeds)]
    publish(
        "search", options, rows,
        seconds=seconds, seeds=seeds, folds=FOLDS, test_share=TEST_SHARE,
        unit="accuracy (more is better) or rmse (less is better); medians over the seeds, with least and greatest",
    )  # fmt: skip


def compare(
    case: Case, sides: dict[str, Callable[[Problem, Path, float], Found]], seconds: float, seeds: int
) -> list[dict[str, Any]]:
    """Search one data set with every side and seed; return one row for each side."""
    found: dict[str, list[Found]] = {name: [] for name in sides}
    refits: dict[str, list[float]] = {name: [] for name in sides}
    for seed in range(seeds):
        problem = problem_of(case, seed)
        for name, side in sides.items():  # by turns, so that a slow minute of the machine affects all sides
            with tempfile.TemporaryDirectory() as folder:
                best = side(problem, Path(folder), seconds)
            found[name].append(best)
            refits[name].append(refit_score(name, problem, best))
            told = (
                case.file,
                seed,
                name,
                best.score,
                best.test,
                refits[name][-1],
                best.n_trials,
                round(best.wall_s, 1),
            )
            print(*told, file=sys.stderr, flush=True)
    tests = {name: [f.test or refit for f, refit in zip(found[name], refits[name], strict=True)] for name in sides}
    return [
        row(case, name, found[name])
        | {"test": median(tests[name]), **against(tests[DEFAULT], tests[name], "test")}
        | {"refit": median(refits[name]), **against(refits[DEFAULT], refits[name], "refit")}
        for name in sides
    ]


def refit_score(side: str, problem: Problem, found: Found) -> float:
    """Train a side's winner anew and score it on the test part; NaN where there is no winner."""
    if math.isnan(found.score):
        return math.nan
    score = rivals.halving_test_score if side == "scikit-learn" else rivals.test_score
    return score(problem, found.params)


def median(scores: Sequence[float]) -> float:
    """Compute the median over the seeds in which a side found a winner."""
    return statistics.median([score for score in scores if not math.isnan(score)] or [math.nan])


def against(defaults: Sequence[float], scores: Sequence[float], name: str) -> dict[str, float]:
    """Compute mean and standard error of a side's differences to `defaults`, paired by seed."""
    differences = [own - default for own, default in zip(scores, defaults, strict=True) if math.isfinite(own + default)]
    mean = statistics.mean(differences) if differences else math.nan
    error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    return {f"{name}_difference": mean, f"{name}_standard_error": error}


def row(case: Case, name: str, found: Sequence[Found]) -> dict[str, Any]:
    """Summarise one side's searches on one data set, over the seeds in which it found a winner."""
    scores = [f.score for f in found if not math.isnan(f.score)]
    score, low, high = median_and_spread(scores or [math.nan])
    return {
        "data": case.file.partition(".")[0],
        "metric": case.metric,
        "side": name,
        "validation": score,
        "least": low,
        "greatest": high,
        "found": f"{len(scores)} of {len(found)}",
        "configurations": statistics.median(f.n_trials for f in found),
        "wall_s": round(statistics.median(f.wall_s for f in found), 1),
    }


def problem_of(case: Case, seed: int) -> Problem:
    """Load and shuffle the rows, hold back the test part and split the others into folds."""
    opener = gzip.open if case.file.endswith(".gz") else open
    with opener(DATA / case.file, "rt") as file:
        names, *lines = list(csv.reader(file))
    table = np.array(lines, dtype=np.float64)
    table = table[np.random.default_rng(seed).permutation(len(table))]
    n_test = round(TEST_SHARE * len(table))
    target = names.index(case.target)
    fold = np.arange(len(table) - n_test) % FOLDS
    return Problem(
        names=[n for n in names if n != case.target], x=np.delete(table, target, axis=1), y=table[:, target],
        n_test=n_test, fold=fold, task=case.task, metric=case.metric, batch_size=case.batch_size, seed=seed,
    )  # fmt: skip


def foldstep(method: str, problem: Problem, folder: Path, seconds: float) -> Found:
    """Search with `foldstep run` as a user would, with a time budget."""
    with (folder / "search.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*problem.names, "target", "fold"])
        rows = np.column_stack([problem.x_search, problem.y_search, problem.fold])
        writer.writerows([[repr(float(v)) for v in values] for values in rows])
    spec = {
        "name": "benchmark",
        "method": method,
        "seed": problem.seed,
        "data": {"dataset": "search.csv", "target": "target", "task": problem.task},
        "cv": {"column": "fold"},
        "metric": problem.metric,
        "parameters": {**rivals.RANGES, "batch_size": problem.batch_size},
        "budget": {"time": seconds - STARTUP_S},
        "checkpoints": {"keep": 1},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    begun = time.monotonic()
    argv = python_command("foldstep", "run", "spec.json", "--dir", "data", "--workers", "2", "--json")
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    wall_s = time.monotonic() - begun
    if done.returncode not in (0, NO_WINNER):
        done.check_returncode()
    board = json.loads(done.stdout)
    if done.returncode == NO_WINNER:
        return rivals.nothing(len(board), wall_s)
    return Found(board[0]["score"], board[0]["params"], len(board), wall_s, predicted(problem, folder))


def predicted(problem: Problem, folder: Path) -> float:
    """Predict the test part with the winner's checkpoints, the only ones kept, and return the score."""
    with (folder / "test.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(problem.names)
        writer.writerows([[repr(float(v)) for v in values] for values in problem.x[-problem.n_test :]])
    checkpoints = sorted(str(path) for path in (folder / "data" / "checkpoints").rglob("*.safetensors"))
    argv = python_command("foldstep", "predict", *checkpoints, "test.csv")
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    return problem.score_of([float(line) for line in done.stdout.splitlines()[1:]])


if __name__ == "__main__":
    main()
