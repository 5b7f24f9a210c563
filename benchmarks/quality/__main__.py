"""Test errors of searches on real tables against RealMLP, CatBoost, boosted trees and scikit-learn's network.

`python -m benchmarks.quality --data DIR --python PYTHON` measures what is missing in the file of results, one row for
each side of each split; it can be ended and started again at any time. `--plan` tells what is missing and about how
long it takes; `--report` writes the table into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality import own, report
from benchmarks.quality.cases import SAMPLES, SPLITS, Case, Table, cases, error_of, files_named, read, split
from benchmarks.quality.others import NAMES, TIMES, Others, limit_of
from benchmarks.quality.plan import told
from benchmarks.quality.results import Results
from benchmarks.report import RESULTS

SECONDS = 120.0
_USUAL = (own.DEFAULT, *(name for name in NAMES if name not in TIMES))  # those that search take as long as Foldstep
KEYS = ("file", "sample", "split", "side", "seconds")
Row = dict[str, Any]


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing, or tell what that is, or write the report."""
    options = _options().parse_args(words)
    results = Results(options.results, KEYS, "quality")
    if options.report:
        tables = [report.table(results.rows, own, options.seconds) for own in options.ours.split(",")]
        report.write("\n".join(tables), options.page)
        return
    todo = missing(options, results)
    print(told(todo, results.rows))
    if not options.plan:
        Others(options.python).check([row["side"] for _, row in todo if row["side"] in NAMES])
        measure(todo, options, results)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--python", default=sys.executable, help="Python of the other sides' environment")
    parser.add_argument("--only", metavar="FILE", help="one file alone")
    parser.add_argument("--splits", type=int, default=SPLITS, help="number of splits (default 5)")
    parser.add_argument("--samples", default=_listed((0, *SAMPLES)), help="rows of the samples; 0 is the whole file")
    parser.add_argument("--sides", default=_listed(_USUAL), help="sides, with commas between")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="wall time of a search (default 120)")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality.json", help="file of the results")
    parser.add_argument("--plan", action="store_true", help="tell what is missing and its time, and measure nothing")
    parser.add_argument("--report", action="store_true", help="write the table of the results, and measure nothing")
    ours = _listed((own.DEFAULT, own.PREFIX + "realmlp"))
    parser.add_argument("--ours", default=ours, help="sides that the report compares with, a table each")
    parser.add_argument("--page", type=Path, default=report.PAGE, help="page that the report is written into")
    return parser


def _listed(values: Sequence[object]) -> str:
    return ",".join(map(str, values))


def missing(options: argparse.Namespace, results: Results) -> list[tuple[Case, Row]]:
    """List what is to be measured, each with the fields that name its row; sides by turns, smallest tables first.

    Raises:
        SystemExit: a side or a file that there is not.
    """
    sides = options.sides.split(",")
    known = [*own.sides(), *NAMES]
    if unknown := [side for side in sides if side not in known]:
        raise SystemExit(f"There is no side {', '.join(unknown)}; --sides takes some of: {', '.join(known)}.")
    if options.data is None:
        raise SystemExit("--data is missing: the folder of the data files.")
    samples = sorted((int(s) for s in options.samples.split(",")), key=lambda rows: rows or sys.maxsize)
    found = list(cases(files_named(options.only, options.data), samples, options.splits))
    return [(c, row) for c, row in _rows(found, sides, options.seconds) if not results.has(row)]


def _rows(found: Sequence[Case], sides: Sequence[str], seconds: float) -> Iterator[tuple[Case, Row]]:
    for case in found:
        for side in sides:
            where = {"file": case.file.title, "sample": case.sample, "split": case.split}
            yield case, where | {"side": side, "seconds": limit_of(side, seconds)}


def measure(todo: Sequence[tuple[Case, Row]], options: argparse.Namespace, results: Results) -> None:
    """Train one side after another and keep each row as soon as it is there."""
    tables: dict[str, Table] = {}
    for done, (case, row) in enumerate(todo, 1):
        if case.file.name not in tables:
            tables = {case.file.name: read(case.file, options.data)}  # one at a time, as they can be large
        measured = row | result_of(case, row, tables[case.file.name], Others(options.python))
        results.add(measured)
        print(f"{done} of {len(todo)}:", measured, file=sys.stderr, flush=True)


def result_of(case: Case, row: Row, table: Table, others: Others) -> Row:
    """Train one side on the training part and compute its error; its test rows are scored here, once."""
    parts = split(case, table)
    with tempfile.TemporaryDirectory() as name:
        if row["side"] in NAMES:
            answer = others.run(row["side"], case, parts, Path(name), row["seconds"])
        else:
            answer = own.run(row["side"], case, parts, Path(name), row["seconds"])
    error = error_of(case.file.task, parts.truth, answer.pop("predicted"))
    if "alone" in answer:
        answer["alone"] = error_of(case.file.task, parts.truth, answer["alone"])
    return {"error": error, "time": round(answer.pop("time"), 2), **answer}


if __name__ == "__main__":
    main()
