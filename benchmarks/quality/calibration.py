"""What a temperature brings: how well probabilities fit rows that were held out, before and after.

`python -m benchmarks.quality.calibration --data DIR` searches the default space on 300 and 1,000 rows of each table of
classes, as `foldstep run` does for a table alone, and judges the probabilities of the best trial, of the ensemble, and
of the ensemble with a temperature from its out-of-fold rows on up to 1,000 held-out rows of the training part of each
split of `benchmarks.quality`, whose test rows are not read. `--report` writes the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.quality import report
from benchmarks.quality.cases import FILES
from benchmarks.quality.ensembles import MEMBERS, WAYS, Trained, searched
from benchmarks.quality.results import Results, Row
from benchmarks.quality.scores import SAMPLES, Task
from benchmarks.report import RESULTS
from foldstep.service.analysis.greedy import Block, joined, parts
from foldstep.service.analysis.scores import scores
from foldstep.service.analysis.temperature import Rows, calibration, reliability
from foldstep.service.contract.calibration import Calibration
from foldstep.service.contract.probabilities import tempered

KEYS = ("file", "rows", "split", "space", "metric")
SECONDS = 25
SHIPPED = f"greedy, at most {MEMBERS}, guarded (as shipped)"
WINNER, BEFORE, ALWAYS, AFTER = "the best trial alone", "ensemble", "always with its temperature", "as shipped"
BEGIN, END = (
    "<!-- written by `python -m benchmarks.quality.calibration --report` -->",
    "<!-- end of the calibration -->",
)
FIGURES = ("log_loss", "brier", "calibration_error")


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing, or write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.calibration", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--splits", type=int, default=2, help="number of splits (default 2)")
    parser.add_argument(
        "--results", type=Path, default=RESULTS / "quality_calibration.json", help="file of the results"
    )
    parser.add_argument("--report", action="store_true", help="write the table on the page, and measure nothing")
    options = parser.parse_args(words)
    results = Results(options.results, (*KEYS, "way"), "quality_calibration")
    if not options.report:
        if options.data is None:
            raise SystemExit("--data is missing: the folder of the data files.")
        for task in [t for t in tasks(options.splits) if not results.has(t.key | {"way": WINNER})]:
            for row in rows_of(task, options.data):
                results.add(row)
            print(row, file=sys.stderr, flush=True)
    print(table(results.rows))
    if options.report:
        report.write(table(results.rows), report.PAGE, BEGIN, END)


def tasks(splits: int) -> Iterator[Task]:
    """List all searches."""
    for number in range(splits):
        for rows in SAMPLES:
            for file in FILES:
                if file.task == "classification" and 0.8 * file.n_rows >= 1.2 * rows:
                    yield Task(file, rows, number, "default", "log_loss")


def rows_of(task: Task, data: Path) -> list[Row]:
    """Run one search and judge the probabilities of each way."""
    target = {"dataset": "train.csv", "target": task.file.target, "task": task.file.task}
    with tempfile.TemporaryDirectory() as folder:
        spec = {"data": target, "seed": task.split, "budget": {"time": SECONDS}}
        trained = searched(task, data, Path(folder), spec)
    weights = WAYS[SHIPPED](trained)
    found = fitted(trained, weights)
    alone, plain = trained.said[0].T, np.tensordot(list(weights.values()), trained.said[list(weights)], axes=1).T
    always = plain if found.fitted is None else tempered(plain, found.fitted)
    ways = {WINNER: alone, BEFORE: plain, ALWAYS: always, AFTER: tempered(plain, found.temperature)}
    said = {"fitted": found.fitted, "temperature": found.temperature, "members": len(weights),
            "promised": found.after.log_loss - found.before.log_loss}  # fmt: skip
    return [task.key | {"way": way} | judged(Rows(shares, trained.truth)) | said for way, shares in ways.items()]


def fitted(trained: Trained, weights: Mapping[int, float]) -> Calibration:
    """Fit the temperature of an ensemble as the product does; no trial of the default space weights classes."""
    own = [Block(joined(block, weights).astype(np.float64), block.truth) for block in trained.blocks]
    halves = [(_rows(some), _rows(others)) for some, others in parts(own, by_fold=len(own) > 1)]
    found = calibration(halves, _rows(own))
    assert found is not None
    return found


def _rows(blocks: Sequence[Block]) -> Rows:
    return Rows.of([Rows(block.said[0].T, block.truth) for block in blocks])


def judged(rows: Rows) -> Row:
    """Tell how well probabilities fit rows that were held out."""
    found = reliability(rows).model_dump(include=set(FIGURES))
    return found | {"accuracy": float(scores("accuracy", "classification", rows.shares.T[None], rows.truth)[0])}


def table(rows: Sequence[Row]) -> str:
    """Write a line for each way: means over the tasks, with differences to the ensemble without a temperature."""
    lines = ["| way | log loss | calibration error | log loss less the ensemble's | its standard error | calibration "
             "error at most that of the best trial |", "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    of = {(*(row[key] for key in KEYS), row["way"]): row for row in rows}
    named = list(dict.fromkeys(tuple(row[key] for key in KEYS) for row in rows))
    for way in (WINNER, BEFORE, ALWAYS, AFTER):
        own = [of[*key, way] for key in named]
        means = [statistics.mean(row[figure] for row in own) for figure in ("log_loss", "calibration_error")]
        less = [of[*key, way]["log_loss"] - of[*key, BEFORE]["log_loss"] for key in named]
        error = statistics.stdev(less) / math.sqrt(len(less)) if len(less) > 1 else math.nan
        winners = [of[*key, WINNER]["calibration_error"] for key in named]
        n = sum(row["calibration_error"] <= winner for row, winner in zip(own, winners, strict=True))
        lines.append(f"| {way} | {means[0]:.4f} | {means[1]:.4f} | {statistics.mean(less):+.4f} | {error:.4f} | "
                     f"{n} of {len(named)} |")  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    main()
