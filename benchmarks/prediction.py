"""Time predictions: ten networks of two hidden layers of 128 units, and 100,000 rows of 30 columns.

    python -m benchmarks.prediction [--quick] [--save]

The networks are those of two trials and five folds of a search that is trained here for a few epochs. The parts are
timed apart: reading the rows from CSV, preprocessing them for every network, the passes of the networks; then all of
`Ensemble.outputs`, and a request by REST with its second request, whose networks are in memory. The same networks as a
module of PyTorch, given preprocessed inputs, are the other side, with the same numbers. Predictions before the first
run, 2 cores: reading 0.2 s, preprocessing 0.7 s, passes 1.5 s, PyTorch 0.6 s, by REST 4 s.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch

from benchmarks.report import arguments, median_and_spread, publish
from foldstep.client import Foldstep
from foldstep.committee import Committee
from foldstep.ensemble import Ensemble, Tables
from foldstep.local import connect_workers, local_service
from foldstep.models.fnn import forward
from foldstep.portable.torch_module import module_of
from foldstep.prediction_tables import read_tables
from foldstep.service.contract.leaderboard import SearchView
from foldstep.threads import in_threads
from foldstep.worker.data.load import Table

N_ROWS, N_NUMBERS, N_WORDS = 100_000, 26, 4
GOAL_S = 1.0
TRAINING_ROWS = 5_000
_PARAMETERS = {"hidden": {"choices": [[128, 128]]}, "lr": [0.001, 0.002], "epochs": 2, "batch_size": 256}


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    repeats = 2 if options.quick else 3
    with TemporaryDirectory(prefix="foldstep-prediction-") as folder:
        rows = _measured(Path(folder), 10_000 if options.quick else N_ROWS, repeats)
    publish(
        "prediction", options, rows, unit="seconds: median, least and greatest", goal=f"{GOAL_S:g} s for `outputs`",
        repeats=repeats, load_before=os.getloadavg()[0],
    )  # fmt: skip


def _measured(folder: Path, n_rows: int, repeats: int) -> list[dict[str, Any]]:
    table(TRAINING_ROWS, 0).write_csv(folder / "train.csv")
    table(n_rows, 1).write_csv(folder / "new.csv")
    with local_service(folder / "data", [folder], None) as (master, group):
        connect_workers(group, master, folder / "data")
        search = _trained(master, folder / "train.csv")
        group.leave()  # its workers would take the cores
        group.wait()
        committees = [
            Committee(1.0, [Path(search.checkpoint_dir) / n for n in master.trial(search.id, t).checkpoints], t)
            for t in range(2)
        ]
        ensemble = Ensemble.load(committees)
        timed = _parts(ensemble, folder / "new.csv", repeats)
        timed += _by_rest(master, search.id, folder / "new.csv", repeats)
    return [{"part": part, "rows": n_rows, **seconds} for part, seconds in timed]


def table(n: int, seed: int) -> pl.DataFrame:
    """Make a table of numbers with a few missing, and words."""
    rng = np.random.Generator(np.random.Philox(key=[7, seed]))
    x = rng.normal(size=(n, N_NUMBERS))
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(size=n) > 0).astype(int)
    x[rng.random(x.shape) < 0.01] = np.nan
    numbers = {f"x{i}": pl.Series(np.round(x[:, i], 5)).fill_nan(None) for i in range(N_NUMBERS)}
    words = {
        f"t{i}": pl.Series(rng.integers(5 + i, size=n)).cast(pl.String).str.pad_start(3, "w") for i in range(N_WORDS)
    }
    return pl.DataFrame({**numbers, **words, "y": y})


def _trained(master: Foldstep, path: Path) -> SearchView:
    spec = {
        "name": "prediction", "data": {"dataset": str(path), "target": "y"}, "seed": 1, "method": "grid",
        "parameters": _PARAMETERS, "cv": {"folds": 5}, "budget": {"trials": 2},
    }  # fmt: skip
    search = master.wait(master.submit(spec).id)
    assert search.state == "completed", search.notes
    return search


_Timed = tuple[str, dict[str, float | None]]


def _parts(ensemble: Ensemble, path: Path, repeats: int) -> list[_Timed]:
    tables = read_tables(ensemble, path)
    inputs = _inputs(ensemble, tables)
    module, tensors = module_of(ensemble), [torch.from_numpy(x) for x in inputs]
    ours, theirs = ensemble.outputs(tables, is_corrected=True), module(*tensors).detach().numpy()
    assert np.allclose(ours, theirs, atol=1e-5), "PyTorch predicts something else"
    with torch.no_grad():
        return [
            ("read CSV", _time(lambda: read_tables(ensemble, path), repeats)),
            ("preprocess, one thread", _time(lambda: in_threads(lambda t: _inputs(ensemble, t), [tables]), repeats)),
            ("passes, one thread", _time(lambda: in_threads(lambda x: _passes(ensemble, x), [inputs]), repeats)),
            ("outputs", _time(lambda: ensemble.outputs(tables), repeats)),
            ("passes in PyTorch", _time(lambda: module(*tensors), repeats)),
        ]


def _inputs(ensemble: Ensemble, tables: Tables) -> list[Any]:
    rows = np.arange(tables[ensemble.first.reading].n_rows)
    return [p.preprocessor.transform(Table(tables[p.reading].columns), rows) for p in ensemble.predictors]


def _passes(ensemble: Ensemble, inputs: list[Any]) -> None:
    for predictor, x in zip(ensemble.predictors, inputs, strict=True):
        forward(predictor.hp, predictor.weights, x, predictor.stage)


def _by_rest(master: Foldstep, search: str, path: Path, repeats: int) -> list[_Timed]:
    master.predict(search, path)
    return [("by REST, CSV", {**_time(lambda: master.predict(search, path), repeats), "processor_s": None})]


def _time(work: Callable[[], object], repeats: int) -> dict[str, float | None]:
    """Measure seconds, and those of all processors that this process took: other work does not lengthen these much."""
    passed, taken = [], []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        work()
        passed.append(round(time.perf_counter() - began[0], 3))
        taken.append(round(time.process_time() - began[1], 3))
    median, least, greatest = median_and_spread(passed)
    return {"s": median, "least": least, "greatest": greatest, "processor_s": min(taken)}


if __name__ == "__main__":
    main()
