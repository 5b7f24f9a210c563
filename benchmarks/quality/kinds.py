"""What each kind of ensemble brings: trained members and chosen ones, against the best trial alone.

`python -m benchmarks.quality.kinds --data DIR` runs a search on samples of each table, and one for each kind whose
members are trained, with the best trial's configuration as its only trial: the same networks. All are scored out of
fold and on rows that were held out. `--report` writes the table into docs/benchmarks.md. The rows are those of the
training part of one split of `benchmarks.quality`, whose test rows are not read.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality import report
from benchmarks.quality.cases import FILES, Case
from benchmarks.quality.ensembles import MEMBERS, Trained, committee_said, searched
from benchmarks.quality.own import space_of, spec_of
from benchmarks.quality.results import Results, Row
from benchmarks.quality.scores import CHANGED, Task
from benchmarks.report import RESULTS
from foldstep.client import Foldstep
from foldstep.committee import chosen_committees
from foldstep.local import local_master
from foldstep.models.catalog.metrics import METRICS
from foldstep.service.analysis.greedy import choose, held_out
from foldstep.service.analysis.scores import scores
from foldstep.service.contract import choice
from foldstep.service.contract.final_spec import TRAINED
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.processes import python_command

KEYS = ("file", "rows", "split", "space", "metric", "kind")
SAMPLES = (300, 1000)
SPACE, TRIALS, EPOCHS = "realmlp", 6, 64
GREEDY = "greedy"
BEGIN, END = "<!-- written by `python -m benchmarks.quality.kinds --report` -->", "<!-- end of the kinds -->"


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing, or write the report."""
    options = _options().parse_args(words)
    results = Results(options.results, KEYS, "quality_kinds")
    if not options.report:
        if options.data is None:
            raise SystemExit("--data is missing: the folder of the data files.")
        todo = [task for task in tasks() if not results.has(task.key | {"kind": GREEDY})]
        results.fill([partial(rows_of, task, options.data) for task in todo], options.processes)
    print(table(results.rows))
    if options.report:
        report.write(table(results.rows), report.PAGE, BEGIN, END)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.kinds", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--processes", type=int, default=2, help="searches that run at once (default 2)")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality_kinds.json", help="file of the results")
    parser.add_argument("--report", action="store_true", help="write the table on the page, and measure nothing")
    return parser


def tasks() -> Iterator[Task]:
    """List all searches, those of few rows first."""
    for rows in SAMPLES:
        yield from (Task(file, rows, 0, SPACE, file.search_metric) for file in FILES if 0.8 * file.n_rows >= 1.2 * rows)


def rows_of(task: Task, data: Path) -> list[Row]:
    """Run a search, and judge each kind of ensemble with its best trial."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = _spec(task)
        found = searched(task, data, folder, spec)
        with local_master(folder / "data", [folder]) as master:
            (first,) = master.searches()
        assert first.best is not None
        alone = found.loss({0: 1.0})
        rows = [_chosen(found)]
        for kind in TRAINED:
            only = {**spec, "parameters": dict(first.best.params), "budget": {"trials": 1}}
            _run(folder, {**only, "name": kind, "final": {"ensemble": kind}})
            rows.append(_trained(kind, found, folder))
        return [task.key | {"alone": alone} | row for row in rows]


def _spec(task: Task) -> Row:
    case = Case(task.file, 0, task.split)
    space = space_of("foldstep-" + SPACE, task.rows)
    parameters = {**space["parameters"], **CHANGED[SPACE], "epochs": EPOCHS}
    given = {**space, "parameters": parameters, "budget": {"trials": TRIALS}, "metric": task.metric}
    return spec_of(case, given) | {"checkpoints": {"keep": "all"}}


def _run(folder: Path, spec: Mapping[str, Any]) -> None:
    (folder / "spec.json").write_text(json.dumps({k: v for k, v in spec.items() if v is not None}))
    argv = python_command("foldstep", "run", "spec.json", "--dir", "data", "--workers", "1", "--json")
    subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)


def _chosen(found: Trained) -> Row:
    """Judge the greedy ensemble of the search's trials, as it is shipped."""
    aim = found.aim._replace(members=MEMBERS)
    made, guard = choose(found.blocks, aim), held_out(found.blocks, aim, by_fold=True)
    assert made is not None
    is_lone = guard is None or guard.ensemble >= guard.alone
    weights = {0: 1.0} if is_lone else made.weights
    best = float(aim.losses(found.blocks, lambda block: block.said[[0]])[0])
    return {
        "kind": GREEDY, "loss": found.loss(weights), "oof": best if is_lone else made.loss, "oof_alone": best,
        "networks": len(weights) * len(found.blocks),
    }  # fmt: skip


def _trained(kind: str, found: Trained, folder: Path) -> Row:
    with local_master(folder / "data", [folder]) as master:
        search = next(one for one in master.searches() if one.name == kind)
        ensemble = master.ensemble(search.id)
        assert ensemble is not None
        if ensemble.words is None:
            raise SystemExit(f"{kind}: {ensemble.notes}")
        loss_of = METRICS[search.metric.name].direction.loss_of
        return {
            "kind": kind, "loss": _loss(master, search, found, folder), "oof": loss_of(ensemble.score),
            "oof_alone": loss_of(ensemble.winner_score), "networks": ensemble.n_networks,
        }  # fmt: skip


def _loss(master: Foldstep, search: SearchView, found: Trained, folder: Path) -> float:
    """Compute the loss of an ensemble on the held-out rows."""
    with chosen_committees(master, search, choice.choose(master, search)) as chosen:
        weights = [committee.weight for committee in chosen.committees]
        said = np.stack([committee_said(c.checkpoints, folder / "held_out.csv") for c in chosen.committees])
    together = np.tensordot(weights, said, axes=1)[None]
    score = float(scores(found.aim.metric, found.aim.task, together, found.truth)[0])
    return METRICS[found.aim.metric].direction.loss_of(score)


def table(rows: Sequence[Row]) -> str:
    """Write a line for each kind and number of rows: the loss over that of the best trial alone."""
    lines = ["| kind | rows | searches | networks | out of fold | held-out rows | better there |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for kind in (GREEDY, *TRAINED):
        for sample in (*SAMPLES, None):
            own = [row for row in rows if row["kind"] == kind and sample in (row["rows"], None)]
            if own:
                n_better = sum(row["loss"] < row["alone"] for row in own)
                networks = statistics.mean(row["networks"] for row in own)
                oof, loss = _relative(own, "oof", "oof_alone"), _relative(own, "loss", "alone")
                first = f"| {kind} | {sample or 'all'} | {len(own)} | {networks:.0f}"
                lines.append(f"{first} | {oof} | {loss} | {n_better} of {len(own)} |")
    return "\n".join(lines)


def _relative(own: Sequence[Row], key: str, base: str) -> str:
    """Write the mean difference in per cent of the size of the best trial's loss, with its standard error."""
    values = [100 * (row[key] - row[base]) / abs(row[base]) for row in own]
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):+.1f} % ± {error:.1f}"


if __name__ == "__main__":
    main()
