"""Foldstep's `preset: realmlp` against the original: pytabkit's RealMLP with five folds, several seeds.

`python -m benchmarks.quality.realmlp_oracle --data DIR --python PYTHON` trains both on the same development split of
each file (the test rows are never seen), once for each seed, which moves the folds and the first weights alike. The
test of the whole: the two means over the seeds differ by no more than the standard deviation over the seeds, of the
side where it is greater.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.quality import own
from benchmarks.quality.cases import Case, Table, cases, error_of, files_named, read, split
from benchmarks.quality.others import Others
from benchmarks.quality.results import Results, Row
from benchmarks.report import RESULTS
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.parse import parse_spec

KEYS = ("file", "sample", "seed", "side")
OWN, ORIGINAL = "foldstep", "realmlp"


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing and print the table."""
    options = _options().parse_args(words)
    results = Results(options.results, KEYS, "realmlp_oracle")
    if options.data is not None:
        todo = missing(options, results)
        print(f"{len(todo)} rows are missing.")
        if options.plan:
            return
        check(options.python, todo)
        measure(todo, options.data, Others(options.python), results)
    print(table(results.rows))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.realmlp_oracle", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files; left out, the table is printed")
    parser.add_argument("--python", default=sys.executable, help="Python of the other sides' environment")
    parser.add_argument("--only", metavar="FILE", help="one file alone")
    parser.add_argument("--samples", default="1000", help="rows of the samples; 0 is the whole file")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default 5)")
    parser.add_argument("--results", type=Path, default=RESULTS / "realmlp_oracle.json", help="file of the results")
    parser.add_argument("--plan", action="store_true", help="tell what is missing, and measure nothing")
    return parser


def missing(options: argparse.Namespace, results: Results) -> list[tuple[Case, Row]]:
    """List the rows to measure; the split is the first one for all seeds."""
    samples = [int(sample) for sample in options.samples.split(",")]
    todo = []
    for case in cases(files_named(options.only, options.data), samples, 1, is_development=True):
        for seed in range(options.seeds):
            for side in (OWN, ORIGINAL):
                row = {"file": case.file.title, "sample": case.sample, "seed": seed, "side": side}
                todo += [] if results.has(row) else [(case, row)]
    return todo


def check(python: str, todo: Sequence[tuple[Case, Row]]) -> None:
    """Refuse to begin where the preset or pytabkit is missing.

    Raises:
        SystemExit: with what is missing.
    """
    for case, row in todo:
        try:
            parse_spec(spec(case, row["seed"]))
        except SpecInvalid as error:
            raise SystemExit(f"`preset: realmlp` cannot be trained by this version: {error}") from None
    Others(python).check([ORIGINAL] if todo else [])


def spec(case: Case, seed: int) -> Row:
    """Make the spec of one trial of five folds with the preset."""
    one_trial = {"method": "random", "seed": seed, "cv": {"folds": 5}, "budget": {"trials": 1}}
    return own.spec_of(case, one_trial | {"parameters": {"preset": "realmlp"}})


def measure(todo: Sequence[tuple[Case, Row]], data: Path, others: Others, results: Results) -> None:
    """Train both sides and keep each row as soon as it is there."""
    tables: dict[str, Table] = {}
    for case, row in todo:
        if case.file.name not in tables:
            tables = {case.file.name: read(case.file, data)}
        measured = row | result_of(case, row, tables[case.file.name], others)
        results.add(measured)
        print(measured, file=sys.stderr, flush=True)


def result_of(case: Case, row: Row, table: Table, others: Others) -> Row:
    """Train one side with one seed and compute its error on the development rows."""
    parts = split(case, table)
    with tempfile.TemporaryDirectory() as name:
        if row["side"] == OWN:
            answer = own.search_and_predict(spec(case, row["seed"]), parts, Path(name))
        else:
            answer = others.run(ORIGINAL, replace(case, split=row["seed"]), parts, Path(name))
    return {"error": error_of(case.file.task, parts.truth, answer["predicted"]), "time": round(answer["time"], 2)}


def table(rows: Sequence[Row]) -> str:
    """Write a line for each file: both means over the seeds, the spread, and whether the difference is within it."""
    lines = ["| data | rows | seeds | Foldstep | RealMLP | spread of the seeds | within |", "| --- " * 7 + "|"]
    errors: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in rows:
        errors.setdefault((row["file"], row["sample"]), {OWN: [], ORIGINAL: []})[row["side"]].append(row["error"])
    for (title, sample), sides in errors.items():
        if min(map(len, sides.values())) > 1:
            lines.append(_line(title, sample, sides[OWN], sides[ORIGINAL]))
    return "\n".join(lines) + "\n"


def _line(title: str, sample: int, own_errors: list[float], original: list[float]) -> str:
    means = statistics.mean(own_errors), statistics.mean(original)
    spread = max(statistics.stdev(own_errors), statistics.stdev(original))
    within = "yes" if abs(means[0] - means[1]) <= spread else "no"
    cells = [title, str(sample or "all"), str(min(len(own_errors), len(original)))]
    return "| " + " | ".join([*cells, *(f"{v:.4g}" for v in (*means, spread)), within]) + " |"


if __name__ == "__main__":
    main()
