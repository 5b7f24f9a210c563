"""What an ensemble brings: each way to choose one from a search's trials, against the best trial alone.

`python -m benchmarks.quality.ensembles --data DIR` runs a search on 300 and 1,000 rows of each table and scores, on
rows that were held out, the committee of the best trial and the ensembles of `WAYS`, all chosen from the same
checkpoints. `--report` writes the table into docs/benchmarks.md. The rows are those of the training part of each split
of `benchmarks.quality`, whose test rows are not read.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.quality import report
from benchmarks.quality.cases import Case, File, read, split
from benchmarks.quality.own import space_of, spec_of
from benchmarks.quality.results import Results, Row
from benchmarks.quality.scores import CHANGED, HELD_OUT, Task, samples
from benchmarks.report import RESULTS
from foldstep.models.catalog.metrics import METRICS
from foldstep.models.checkpoint import read_arrays
from foldstep.service.analysis.calibration import half_widths, joined_rows
from foldstep.service.analysis.greedy import ENOUGH, Aim, Block, choose, held_out
from foldstep.service.analysis.scores import Truth, scores
from foldstep.service.contract.out_of_fold import VALIDATION, FoldPredictions
from foldstep.service.contract.processes import python_command
from foldstep.service.data.read_as import read_as
from foldstep.worker.data.load import Table
from foldstep.worker.predictor import Predictor

KEYS = ("file", "rows", "split", "space", "metric")
SPACE = "realmlp"
TRIALS = 24
EPOCHS = 128
MEMBERS = 10
BEGIN, END = "<!-- written by `python -m benchmarks.quality.ensembles --report` -->", "<!-- end of the ensembles -->"
ALONE = "the best trial alone"
Weights = Mapping[int, float]


class Trained(NamedTuple):
    """The trials of a search, the best first.

    Attributes:
        blocks: their out-of-fold predictions, by fold.
        said: their committees' predictions of the held-out rows, (trials, outputs, rows).
        truth: of these rows.
        aim: what ensembles are chosen for.
    """

    blocks: list[Block]
    said: npt.NDArray[np.float64]
    truth: Truth
    aim: Aim

    def loss(self, weights: Weights) -> float:
        """Compute the loss of an ensemble on the held-out rows."""
        joined = np.tensordot(list(weights.values()), self.said[list(weights)], axes=1)[None]
        score = float(scores(self.aim.metric, self.aim.task, joined, self.truth)[0])
        return METRICS[self.aim.metric].direction.loss_of(score)


def _greedy(members: int, enough: float = ENOUGH, *, guarded: bool = False) -> Callable[[Trained], Weights]:
    def way(trained: Trained) -> Weights:
        aim = trained.aim._replace(members=members)
        choice = choose(trained.blocks, aim, enough)
        assert choice is not None
        guard = held_out(trained.blocks, aim, by_fold=True)
        is_lone = guarded and (guard is None or guard.ensemble >= guard.alone)
        return {0: 1.0} if is_lone else choice.weights

    return way


def _mean(n: int) -> Callable[[Trained], Weights]:
    return lambda trained: dict.fromkeys(range(min(n, len(trained.said))), 1 / min(n, len(trained.said)))


WAYS: Mapping[str, Callable[[Trained], Weights]] = {
    ALONE: _mean(1),
    "the best by out-of-fold rows": _greedy(1),
    "mean of the best 3": _mean(3),
    "mean of the best 10": _mean(10),
    "greedy, at most 3": _greedy(3),
    "greedy, at most 10, guarded (as shipped)": _greedy(MEMBERS, guarded=True),
    "greedy, at most 10": _greedy(MEMBERS),
    "greedy, at most 10, all of the gain": _greedy(MEMBERS, 1.0),
    "greedy, at most 24": _greedy(TRIALS),
}


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing, or write the report."""
    options = _options().parse_args(words)
    results = Results(options.results, (*KEYS, "way"), "quality_ensembles")
    if not options.report:
        if options.data is None:
            raise SystemExit("--data is missing: the folder of the data files.")
        todo = [task for task in tasks(options.splits) if not results.has(task.key | {"way": ALONE})]
        results.fill([partial(rows_of, task, options.data) for task in todo], options.processes)
    print(table(results.rows))
    if options.report:
        report.write(table(results.rows), report.PAGE, BEGIN, END)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.ensembles", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--splits", type=int, default=1, help="number of splits (default 1)")
    parser.add_argument("--processes", type=int, default=2, help="tasks that are measured at once (default 2)")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality_ensembles.json", help="file of the results")
    parser.add_argument("--report", action="store_true", help="write the table on the page, and measure nothing")
    return parser


def tasks(splits: int) -> Iterator[Task]:
    """List all searches."""
    for file, rows, number in samples(splits):
        for metric in ["rmse"] if file.task == "regression" else ["log_loss", "accuracy"]:
            yield Task(file, rows, number, SPACE, metric)


def rows_of(task: Task, data: Path) -> list[Row]:
    """Run one search and judge every way to choose an ensemble from its trials."""
    with tempfile.TemporaryDirectory() as folder:
        trained = search(task, data, Path(folder))
    losses = {name: (weights, trained.loss(weights)) for name, way in WAYS.items() for weights in [way(trained)]}
    spread = float(np.std([trained.loss({i: 1.0}) for i in range(len(trained.said))], ddof=1))
    guard = held_out(trained.blocks, trained.aim, by_fold=True)
    said = {} if guard is None else {"promised": guard.ensemble, "promised_alone": guard.alone}
    return [
        task.key | {"way": name, "loss": loss, "members": len(weights), "spread": spread} | said
        | covered(trained, weights)
        for name, (weights, loss) in losses.items()
    ]  # fmt: skip


def covered(trained: Trained, weights: Weights) -> Row:
    """Tell what shares of the held-out rows lie in an ensemble's intervals; of classes there are none."""
    if trained.aim.task != "regression":
        return {}
    shares, members = list(weights.values()), list(weights)
    own = [(np.tensordot(shares, block.said[members].astype(float), axes=1), block.truth) for block in trained.blocks]
    said, truth = joined_rows(own)
    widths = half_widths(said[0], truth)
    distances = np.abs(np.tensordot(shares, trained.said[members], axes=1)[0] - trained.truth.values)
    return {"covered": {str(level): float((distances <= width).mean()) for level, width in widths.items()}}


def search(task: Task, data: Path, folder: Path) -> Trained:
    """Run the search of a task and predict the rows that were held out with each trial."""
    case = Case(task.file, 0, task.split)
    space = space_of("foldstep-" + SPACE, task.rows)
    parameters = {**space["parameters"], **CHANGED[SPACE], "epochs": EPOCHS}
    spec = spec_of(case, {**space, "parameters": parameters, "budget": {"trials": TRIALS}, "metric": task.metric})
    return searched(task, data, folder, spec | {"checkpoints": {"keep": "all"}})


def searched(task: Task, data: Path, folder: Path, spec: Mapping[str, Any]) -> Trained:
    """Run a search of `train.csv` on the rows of a task, and predict the rows that were held out with each trial."""
    rows = split(Case(task.file, 0, task.split), read(task.file, data)).train
    for name, part in (("train", rows.rows[: task.rows]), ("held_out", rows.rows[task.rows : task.rows + HELD_OUT])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([rows.names, *part])
    spec = {**spec, "name": "search"}
    (folder / "spec.json").write_text(json.dumps(spec))
    argv = python_command("foldstep", "run", "spec.json", "--dir", "data", "--workers", "1", "--json")
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    board = [row for row in json.loads(done.stdout) if row["checkpoints"]]
    (checkpoints,) = (folder / "data" / "checkpoints").iterdir()
    return _trained(task, [[checkpoints / name for name in row["checkpoints"]] for row in board], folder)


def _trained(task: Task, trials: Sequence[Sequence[Path]], folder: Path) -> Trained:
    held_out = folder / "held_out.csv"
    said = np.stack([committee_said(checkpoints, held_out) for checkpoints in trials])
    truth = truth_of(task.file, trials[0][0], held_out)
    blocks = [_block([checkpoints[fold] for checkpoints in trials]) for fold in range(len(trials[0]))]
    values = truth if task.file.task == "regression" else truth.astype(np.int64)
    return Trained(blocks, said, Truth(values), Aim(task.metric, task.file.task, MEMBERS))


def truth_of(data: File, checkpoint: Path, table: Path) -> npt.NDArray[np.float64]:
    """Read the target of a file's rows: values, or the numbers that a network gives to their classes."""
    predictor = Predictor.load(checkpoint)
    with table.open(newline="") as file:
        cells = [row[data.target] for row in csv.DictReader(file)]
    of_class = None if predictor.classes is None else {str(c): i for i, c in enumerate(predictor.classes)}
    return np.array([float(c) if of_class is None else of_class[str(_number(c))] for c in cells], float)


def _number(cell: str) -> Any:
    """Read a class as the product does: a whole number or text."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    return int(value) if value.is_integer() else value


def committee_said(checkpoints: Sequence[Path], file: Path) -> npt.NDArray[np.float64]:
    """Predict with the mean of a trial's networks, (outputs, rows)."""
    found = []
    for path in checkpoints:
        predictor = Predictor.load(path)
        outputs = predictor.outputs(Table(read_as(file, predictor.reading).columns))
        found.append(outputs.reshape(len(outputs), -1).T)
    return np.asarray(np.mean(found, axis=0))


def _block(checkpoints: Sequence[Path]) -> Block:
    found = [FoldPredictions.of(read_arrays(str(path), VALIDATION)) for path in checkpoints]
    known = [one for one in found if one is not None]
    return Block(np.stack([one.predictions.T for one in known]), Truth(known[0].truth, known[0].weight))


def table(rows: Sequence[Row]) -> str:
    """Write a line for each way: paired differences to the best trial alone, in standard deviations of all trials."""
    base = {tuple(row[key] for key in KEYS): row for row in rows if row["way"] == ALONE}
    lines = ["| way | loss less that of the best trial alone | standard error | better or equal | members |",
             "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for way in WAYS:
        own = [(row, base[tuple(row[key] for key in KEYS)]) for row in rows if row["way"] == way]
        if not own:
            continue
        differences = [(row["loss"] - alone["loss"]) / alone["spread"] for row, alone in own]
        error = statistics.stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
        better = sum(d <= 0 for d in differences)
        members = statistics.mean(row["members"] for row, _ in own)
        mean = statistics.mean(differences)
        lines.append(f"| {way} | {mean:+.3f} | {error:.3f} | {better} of {len(own)} | {members:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
