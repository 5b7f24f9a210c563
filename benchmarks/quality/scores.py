"""Which score of a trial predicts: each way to choose epochs and to score, against rows that nobody saw.

`python -m benchmarks.quality.scores --data DIR` trains random trials of two spaces on 300 and 1,000 rows of each table,
with five folds, and keeps for each way of `candidates.py`: the bias of scores against the rows that were held out, the
rank correlation with the committees' errors there, and the error of the committee of the trial that it ranks first.
`--report` writes the table into docs/benchmarks.md. The rows are those of the training part of each split of
`benchmarks.quality`, whose test rows are not read.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmarks.quality import report
from benchmarks.quality.candidates import WAYS, Chosen, Floats
from benchmarks.quality.cases import BUNDLED, FILES, Case, File, Table, read, split
from benchmarks.quality.own import space_of, spec_of
from benchmarks.quality.results import Results, Row
from benchmarks.quality.watched import Watched, load, save, watched
from benchmarks.report import RESULTS
from foldstep.models.catalog.metrics import METRICS, Direction

KEYS = ("file", "rows", "split", "space", "metric", "way")
SAMPLES = (300, 1000)
HELD_OUT = 1000
"""The most rows that are held out of a table."""
SPACES = ("plain", "realmlp")
CHANGED: dict[str, Row] = {"plain": {"schedule": ["constant", "cosine"]}, "realmlp": {"hidden": [[64] * 3, [128] * 3]}}
"""What is changed in a space: curves that end noisily as well, and networks whose training takes less time."""
TRIALS = 20
EPOCHS = 128
SMALL = tuple(file for file in BUNDLED if file.title in ("diabetes", "breast_cancer"))
BEGIN, END = "<!-- written by `python -m benchmarks.quality.scores --report` -->", "<!-- end of the scores -->"


@dataclass(frozen=True)
class Task:
    """One table, sample, split, space and metric: what is trained at once."""

    file: File
    rows: int
    split: int
    space: str
    metric: str

    @property
    def key(self) -> Row:
        """The fields that name its rows in the results."""
        named = {"file": self.file.title, "rows": self.rows, "split": self.split}
        return named | {"space": self.space, "metric": self.metric}


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing, or write the report."""
    options = _options().parse_args(words)
    results = Results(options.results, KEYS, "quality_scores")
    if not options.report:
        if options.data is None:
            raise SystemExit("--data is missing: the folder of the data files.")
        todo = [t for t in tasks(options.splits) if not results.has(t.key | {"way": next(iter(WAYS))})]
        results.fill([partial(rows_of, task, options.data, options.curves) for task in todo], options.processes)
    print(table(results.rows))
    if options.report:
        report.write(table(results.rows), report.PAGE, BEGIN, END)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.scores", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--splits", type=int, default=2, help="number of splits (default 2)")
    parser.add_argument("--processes", type=int, default=2, help="tasks that are measured at once (default 2)")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality_scores.json", help="file of the results")
    parser.add_argument("--curves", type=Path, help="folder that keeps what was trained, so that ways can be added")
    parser.add_argument("--report", action="store_true", help="write the table on the page, and measure nothing")
    return parser


def tasks(splits: int) -> Iterator[Task]:
    """List all that is trained."""
    for file, rows, number in samples(splits):
        for metric in ["rmse"] if file.task == "regression" else ["accuracy", "roc_auc"]:
            yield from (Task(file, rows, number, space, metric) for space in SPACES)


def samples(splits: int) -> Iterator[tuple[File, int, int]]:
    """List table, rows and split of each sample beside which enough rows are left to be held out."""
    for number in range(splits):
        for rows in SAMPLES:
            for file in (*FILES, *SMALL):
                if 0.8 * file.n_rows >= 1.2 * rows:
                    yield file, rows, number


def rows_of(task: Task, data: Path, curves: Path | None) -> list[Row]:
    """Train the trials of one task, or take them from the folder of curves, and judge every way by them."""
    kept = curves / ("-".join(map(str, task.key.values())) + ".npz") if curves else None
    if kept is not None and kept.is_file():
        trials, truth = load(kept)
    else:
        trials, truth = _trained(task, data)
        if kept is not None:
            save(kept, trials, truth)
    direction = METRICS[task.metric].direction
    return [task.key | {"way": name} | judged(trials, truth, task.metric, direction, name) for name in WAYS]


def _trained(task: Task, data: Path) -> tuple[list[Watched], Floats]:
    case = Case(task.file, 0, task.split)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        share = _write(file, split(case, read(task.file, data)).train, task)
        space = space_of("foldstep-" + task.space, task.rows)
        parameters = {**space["parameters"], **CHANGED[task.space], "epochs": EPOCHS}
        spec = spec_of(case, {**space, "parameters": parameters, "method": "random", "budget": {"trials": TRIALS}})
        spec |= {"metric": task.metric, "data": {**spec["data"], "dataset": "table.csv", "test": share}}
        return watched(spec, file, TRIALS, task.split)


def _write(file: Path, rows: Table, task: Task) -> float:
    """Write the sample and the rows to hold out; return their share."""
    n = min(len(rows.rows), task.rows + HELD_OUT)
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([rows.names, *rows.rows[:n]])
    return 1 - task.rows / n


def judged(trials: Sequence[Watched], truth: Floats, metric: str, direction: Direction, way: str) -> Row:
    """Judge one way by the trials of one space.

    Returns:
        bias: mean over the trials of (mean error of the folds' networks on held-out rows - score, as losses), in
            standard errors of the folds' mean; positive where scores flatter. winner_bias: that of the winner.
        rank: Spearman's correlation of scores and the committees' errors. winner: error of the winner's committee.
        best: the least error of all committees with these weights. spread: the standard deviation of those errors.
    """
    biases, scores, errors = [], [], []
    for trial in trials:
        chosen: Chosen = WAYS[way](np.vectorize(direction.loss_of)(trial.scores), trial.losses)
        said = trial.predicted[np.arange(len(chosen.epochs)), chosen.epochs].astype(float)
        alone = statistics.mean(direction.loss_of(score_of(metric, truth, one)) for one in said)
        error = chosen.losses.std(ddof=1) / math.sqrt(len(chosen.losses))
        scores.append(float(chosen.losses.mean()))
        biases.append(float((alone - scores[-1]) / error) if error else 0.0)
        errors.append(direction.loss_of(score_of(metric, truth, said.mean(axis=0))))
    first = int(np.argmin(scores))
    rank = float(spearmanr(scores, errors).statistic)
    told = {"bias": statistics.median(biases), "winner_bias": biases[first], "rank": rank, "winner": errors[first]}
    return {**told, "best": min(errors), "spread": statistics.stdev(errors), "trials": len(trials)}


def score_of(metric: str, truth: Floats, predicted: Floats) -> float:
    """Compute the metric of predictions: values, or probabilities of the second class."""
    if metric == "rmse":
        return float(np.sqrt(np.mean((truth - predicted) ** 2)))
    if metric == "accuracy":
        return float(np.mean((predicted > 0.5) == truth))
    return float(roc_auc_score(truth, predicted))


def table(rows: Sequence[Row]) -> str:
    """Write a line for each way, means over all tables; `regret` is against the way that is first in the list."""
    usual = next(iter(WAYS))
    where = [key for key in KEYS if key != "way"]
    base = {tuple(row[key] for key in where): row for row in rows if row["way"] == usual}
    lines = [
        "| way | bias | bias of the winner | rank correlation | winner's error | standard error |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way in WAYS:
        found = [row for row in rows if row["way"] == way]
        of_file: dict[str, list[float]] = {}
        for row in found:
            first = base[tuple(row[key] for key in where)]
            of_file.setdefault(row["file"], []).append((row["winner"] - first["winner"]) / first["spread"])
        means = [statistics.mean(values) for values in of_file.values()]
        error = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.nan
        told: list[Any] = [way]
        told += [f"{statistics.mean(row[name] for row in found):.2f}" for name in ("bias", "winner_bias", "rank")]
        lines.append("| " + " | ".join([*told, f"{statistics.mean(means):+.3f}", f"{error:.3f}"]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
