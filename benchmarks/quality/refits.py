"""What a refit brings: the ensemble of a search by the networks of its folds, and by refitted ones.

`python -m benchmarks.quality.refits --data DIR` runs searches with `final.refit` on samples of each table, and scores
the same ensemble on rows that were held out: by the networks of the folds, by all refitted networks, and by those of
one seed (the mean loss of the seeds). All trials are trained to their end: a refit has no limit of time, and where a
time budget cuts trials its gain would partly be that of more training. `--report` writes the table into
docs/benchmarks.md. The rows are those of the training part of each split of `benchmarks.quality`, whose test rows are
not read.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.quality import report
from benchmarks.quality.cases import FILES, Case, File, read, split
from benchmarks.quality.ensembles import committee_said, truth_of
from benchmarks.quality.own import space_of, spec_of
from benchmarks.quality.results import Results, Row
from benchmarks.quality.scores import CHANGED, HELD_OUT, SMALL
from benchmarks.report import RESULTS
from foldstep.client import Foldstep
from foldstep.committee import Chosen, chosen_committees
from foldstep.local import local_master
from foldstep.models.catalog.metrics import METRICS
from foldstep.service.analysis.scores import Truth, scores
from foldstep.service.contract.choice import choose
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.processes import python_command

KEYS = ("file", "rows", "split")
SAMPLES = (300, 1000, 3000)
TRIALS, EPOCHS, SEEDS = 8, 128, 5
BEGIN, END = "<!-- written by `python -m benchmarks.quality.refits --report` -->", "<!-- end of the refits -->"
WAYS = {"refit": "refit, 5 seeds", "one": "refit, 1 seed"}


class Task(NamedTuple):
    """One search."""

    file: File
    rows: int
    split: int

    @property
    def key(self) -> Row:
        """The fields that name its row in the results."""
        return {"file": self.file.title, "rows": self.rows, "split": self.split}


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing, or write the report."""
    options = _options().parse_args(words)
    results = Results(options.results, KEYS, "quality_refits")
    if not options.report:
        if options.data is None:
            raise SystemExit("--data is missing: the folder of the data files.")
        todo = [task for task in tasks(options.splits) if not results.has(task.key)]
        results.fill([partial(rows_of, task, options.data) for task in todo], options.processes)
    print(table(results.rows))
    if options.report:
        report.write(table(results.rows), report.PAGE, BEGIN, END)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.refits", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--splits", type=int, default=2, help="number of splits (default 2)")
    parser.add_argument("--processes", type=int, default=2, help="searches that run at once (default 2)")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality_refits.json", help="file of the results")
    parser.add_argument("--report", action="store_true", help="write the table on the page, and measure nothing")
    return parser


def tasks(splits: int) -> Iterator[Task]:
    """List all searches, those of the first split first."""
    for number in range(splits):
        for rows in SAMPLES:
            yield from (Task(file, rows, number) for file in (*FILES, *SMALL) if 0.8 * file.n_rows >= 1.2 * rows)


def rows_of(task: Task, data: Path) -> list[Row]:
    """Run one search with its refit, and score both kinds of networks on the rows that were held out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(task, data, folder)
        with local_master(folder / "data", [folder]) as master:
            search = next(one for one in master.searches() if one.follows is None)
            refit = master.search(search.followers["refit"] or "")
            times = {"search_s": _seconds(search), "refit_s": _seconds(refit)}
            return [task.key | _judged(task, master, search, folder) | times]


def _run(task: Task, data: Path, folder: Path) -> None:
    case = Case(task.file, 0, task.split)
    rows = split(case, read(task.file, data)).train
    for name, part in (("train", rows.rows[: task.rows]), ("held_out", rows.rows[task.rows : task.rows + HELD_OUT])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([rows.names, *part])
    spec = spec_of(case, _given(task) | {"final": {"refit": {"seeds": SEEDS}}, "checkpoints": {"keep": "all"}})
    (folder / "spec.json").write_text(json.dumps(spec))
    argv = python_command("foldstep", "run", "spec.json", "--dir", "data", "--workers", "1", "--json")
    subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)


def _given(task: Task) -> Row:
    """Make the keys of a spec that the table decides."""
    space = space_of("foldstep-realmlp", task.rows)
    parameters = {**space["parameters"], **CHANGED["realmlp"], "epochs": EPOCHS}
    metric = {"metric": task.file.search_metric}
    return space | metric | {"parameters": parameters, "budget": {"trials": TRIALS}}


def _seconds(search: SearchView) -> float:
    assert search.started_at is not None
    assert search.finished_at is not None
    return (search.finished_at - search.started_at).total_seconds()


def _judged(task: Task, master: Foldstep, search: SearchView, folder: Path) -> Row:
    """Compute the losses on the held-out rows."""
    file, metric = folder / "held_out.csv", search.metric.name
    with chosen_committees(master, search, choose(master, search, of_folds=True)) as chosen:
        truth = truth_of(task.file, chosen.committees[0].checkpoints[0], file)
        loss = _scorer(task, metric, truth)
        found = {"folds": loss(_together(chosen, file, slice(None))), "networks": _n_networks(chosen)}
    with chosen_committees(master, search, choose(master, search)) as chosen:
        if chosen.refit is None:
            raise SystemExit(f"{task.key}: {chosen.sentence}")
        seeds = [loss(_together(chosen, file, slice(i, i + 1))) for i in range(SEEDS)]
        refit = loss(_together(chosen, file, slice(None)))
        found |= {"refit": refit, "one": statistics.mean(seeds), "refitted": _n_networks(chosen)}
    return {"metric": metric, **found}


def _n_networks(chosen: Chosen) -> int:
    return sum(len(committee.checkpoints) for committee in chosen.committees)


def _together(chosen: Chosen, file: Path, which: slice) -> npt.NDArray[np.float64]:
    """Predict with some of the networks of each trial, (outputs, rows)."""
    weights = np.array([committee.weight for committee in chosen.committees])
    said = [np.mean([_said(path, file) for path in one.checkpoints[which]], axis=0) for one in chosen.committees]
    return np.asarray(np.tensordot(weights / weights.sum(), np.stack(said), axes=1))


@cache
def _said(checkpoint: Path, file: Path) -> npt.NDArray[np.float64]:
    """Predict with one network, (outputs, rows); each is asked twice."""
    return committee_said([checkpoint], file)


def _scorer(task: Task, metric: str, truth: npt.NDArray[np.float64]) -> Callable[[npt.NDArray[np.float64]], float]:
    direction = METRICS[metric].direction
    values = Truth(truth if task.file.task == "regression" else truth.astype(np.int64))
    return lambda said: direction.loss_of(float(scores(metric, task.file.task, said[None], values)[0]))


def table(rows: Sequence[Row]) -> str:
    """Write a line for each way and number of rows: the loss over that of the folds' networks."""
    lines = ["| rows | searches | networks that predict | loss against that of the folds | better | time |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for sample in (*SAMPLES, None):
        own = [row for row in rows if sample in (row["rows"], None)]
        lines += [_line(sample, own, way) for way in WAYS] if own else []
    return "\n".join(lines)


def _line(sample: int | None, own: Sequence[Row], way: str) -> str:
    of_file: dict[str, list[float]] = {}
    for row in own:
        of_file.setdefault(f"{row['file']} {row['rows']}", []).append(100 * (row[way] / row["folds"] - 1))
    means = [statistics.mean(values) for values in of_file.values()]
    error = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.nan
    n_better = sum(row[way] < row["folds"] for row in own)
    seeds = SEEDS if way == "refit" else 1
    counts = statistics.mean(row["refitted"] * seeds / SEEDS for row in own)
    time = statistics.mean(row["refit_s"] for row in own)
    cost = f"{time:.0f} s" if way == "refit" else ""
    difference = f"{statistics.mean(means):+.1f} % ± {error:.1f}"
    first = f"| {sample or 'all'} | {len(own)} | {WAYS[way]}: {counts:.0f}"
    return f"{first} | {difference} | {n_better} of {len(own)} | {cost} |"


if __name__ == "__main__":
    main()
