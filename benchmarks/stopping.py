"""Rungs and racing compared with no early stopping: the winners' scores and the epochs trained.

Each search draws the same configurations with stopping and without (random search, the same seed), so the winner
without stopping is the best there is to find. The `regret` is how far the winner with stopping stays behind it, in the
metric's units; `spread` is the standard deviation over the folds of the winner without stopping, a scale
for such differences. Epochs are counted by fold. Both sides run through a master and a worker process.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.datasets import DATA
from benchmarks.ranges import DROPOUT, ranges
from benchmarks.report import RESULTS, arguments, publish
from foldstep.client import Foldstep
from foldstep.local import connect_workers, local_service
from foldstep.service.contract.leaderboard import TrialView

EPOCHS, TRIALS, FOLDS = 27, 54, 5
SETS: dict[str, dict[str, Any]] = {
    "digits": {"dataset": "digits"},
    "concrete": {"dataset": str(DATA / "concrete.csv"), "target": "strength", "task": "regression"},
    "phoneme": {"dataset": str(DATA / "phoneme.csv.gz"), "target": "target", "task": "classification"},
}
PARAMETERS = {
    **ranges(lr=(1e-4, 1e-1), width=(16, 96), deepest=2, epochs=EPOCHS),
    "dropout": DROPOUT,
    "batch_size": 64,
}
WAYS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "asha": {"rungs": "asha", "min_epochs": 3},
    "asha and racing": {"rungs": "asha", "min_epochs": 3, "race_folds": True},
    "racing": {"rungs": "none", "race_folds": True},
}
FOLDS_FILE = RESULTS / "stopping_folds.json"
"""File of the folds' scores of every trial of the searches without stopping, for `benchmarks.racing`."""


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    seeds = range(1 if options.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        with local_service(data_dir, [DATA], 1) as (master, group):
            connect_workers(group, master, data_dir)
            runs = {(n, way, s): run(master, n, way, s) for n in SETS for s in seeds for way in WAYS}
    rows = [row(runs, name, way, seeds) for name in SETS for way in WAYS if way != "none"]
    if options.save:
        folds = {f"{n}, seed {s}": [t.folds for t in runs[n, "none", s]] for n in SETS for s in seeds}
        FOLDS_FILE.write_text(json.dumps(folds, separators=(",", ":")).replace("],[[", "],\n[[") + "\n")
    publish(
        "stopping", options, rows, seeds=len(seeds), trials=TRIALS, folds=FOLDS, epochs=EPOCHS,
        goal="the same winner quality with at most a third of the epochs", ways=WAYS,
        unit="medians over the seeds; regret in the metric's units (accuracy, rmse), 0 is the same winner",
    )  # fmt: skip


def run(master: Foldstep, name: str, way: str, seed: int) -> list[TrialView]:
    """Run one search; return all its trials, by number."""
    spec = {
        "name": f"stopping-{name}", "method": "random", "seed": seed, "data": SETS[name], "cv": {"folds": FOLDS},
        "parameters": PARAMETERS, "budget": {"trials": TRIALS}, "checkpoints": {"keep": "none"},
    }  # fmt: skip
    rules = WAYS[way]
    search = master.submit(spec if rules is None else {**spec, "early_stop": rules})
    assert master.wait(search.id).state == "completed"
    trials = master.all_trials(search.id, order_by="number")
    assert len(trials) == TRIALS, "the budget is exact"
    return trials


def epochs_of(trials: list[TrialView]) -> int:
    """Count the epochs trained, summed over trials and folds."""
    return sum(t.epoch * len(t.folds) for t in trials)


def winner(trials: list[TrialView]) -> TrialView:
    """Find the trial of rank 1."""
    return next(t for t in trials if t.rank == 1)


def row(runs: dict[tuple[str, str, int], list[TrialView]], name: str, way: str, seeds: range) -> dict[str, Any]:
    """Summarise one data set and one way of stopping, over all seeds."""
    pairs = [(runs[name, "none", s], runs[name, way, s]) for s in seeds]
    shares = [epochs_of(b) / epochs_of(a) for a, b in pairs]
    best = [(winner(a), winner(b)) for a, b in pairs]
    regrets = [abs((a.score or math.nan) - (b.score or math.nan)) for a, b in best]
    spreads = [a.spread or math.nan for a, _ in best]
    return {
        "data": name,
        "way": way,
        "epochs_share": round(statistics.median(shares), 3),
        "most_epochs": round(max(shares), 3),
        "regret": round(statistics.median(regrets), 5),
        "most_regret": round(max(regrets), 5),
        "spread": round(statistics.median(spreads), 5),
        "same_winner": f"{sum(a.trial == b.trial for a, b in best)} of {len(best)}",
        "winners_score": round(statistics.median(a.score or math.nan for a, _ in best), 5),
    }


if __name__ == "__main__":
    main()
