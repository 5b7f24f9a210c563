"""What the default space is chosen by: scores of networks of several widths and epochs, on training parts alone.

`python -m benchmarks.defaults --data DIR` trains what is missing in the file of results: RealMLP's published settings
with other widths of its three layers, `epochs`, `batch_size` and `lr`, on the training part of the first split of
`benchmarks.quality`, a fifth of which is left out once more. No test row is read. The score is that of five folds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality.cases import Case, files_named, read, split
from benchmarks.quality.own import foldstep
from benchmarks.quality.results import Results
from benchmarks.report import RESULTS

KEYS = ("file", "width", "epochs", "batch_size", "lr")
_LAYERS = 3
GRIDS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "parkinsons": (
        {"width": [64, 128, 256], "epochs": [64, 128, 256]},
        {"width": [128], "epochs": [32, 64, 128], "batch_size": [32, 64, 128], "lr": [0.07, 0.2]},
    ),
    "bike": ({"width": [64, 128], "epochs": [32, 64, 128]},),
}
"""By file, grids of what is searched; the rest is as published."""


def main(words: Sequence[str] | None = None) -> None:
    """Train what is missing, one grid after another."""
    options = _options().parse_args(words)
    results = Results(options.results, KEYS, "defaults")
    for name in [options.only] if options.only else GRIDS:
        for grid in GRIDS[name]:
            if not all(results.has(row) for row in cells(name, grid)):
                _measure(name, grid, options.data, results)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data files")
    parser.add_argument("--only", choices=list(GRIDS), help="one file alone")
    parser.add_argument("--results", type=Path, default=RESULTS / "defaults.json", help="file of the results")
    return parser


def cells(name: str, grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """List the rows of a grid, without their scores."""
    for width in grid["width"]:
        for epochs in grid["epochs"]:
            for batch_size in grid.get("batch_size", [256]):
                for lr in grid.get("lr", [0.2]):
                    yield {"file": name, "width": width, "epochs": epochs, "batch_size": batch_size, "lr": lr}


def spec_of(case: Case, grid: Mapping[str, Any]) -> dict[str, Any]:
    """Write the spec of a grid."""
    lists = {name: values for name, values in grid.items() if name != "width"}
    hidden = [[width] * _LAYERS for width in grid["width"]]
    return {
        "name": f"defaults-{case.file.title}", "method": "grid", "cv": {"folds": 5}, "metric": case.file.search_metric,
        "data": {"dataset": "train.csv", "target": case.file.target, "task": case.file.task},
        "parameters": {"preset": "realmlp", "hidden": {"choices": hidden}, **lists},
        "checkpoints": {"keep": "none"}, "final": {"ensemble": "none"},
    }  # fmt: skip


def _measure(name: str, grid: Mapping[str, Any], data: Path, results: Results) -> None:
    (file,) = files_named(name, data)
    case = Case(file, 0, 0, is_development=True)
    with tempfile.TemporaryDirectory() as folder:
        split(case, read(file, data)).write(Path(folder))
        (Path(folder) / "spec.json").write_text(json.dumps(spec_of(case, grid)))
        rows = json.loads(foldstep(Path(folder), "run", "spec.json", "--json"))
    for row in rows:
        params = {**row["params"], "width": row["params"]["hidden"][0]}
        cell = {"file": name, **{key: params[key] for key in KEYS[1:]}}
        if not results.has(cell):
            results.add(cell | {"score": row["score"], "folds": row["folds"]})
        print(cell, row["score"], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
