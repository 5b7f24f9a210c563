"""What each ingredient brings: five folds with it and without it, on development splits.

`python -m benchmarks.quality.ablation --data DIR` measures what is missing in its file of results and prints the table:
by how much each ingredient changes the base's error, in percent of it, as a mean over the tables with its standard
error over the files. The test rows are never seen: the training part is split once more, and its second part is scored.
`ablation.yaml` lists the ingredients. The best rate with an ingredient may be another one, so base and ingredients are
trained with several rates each, and the one with the best validation score counts. All of a split train in packs.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TypeAlias

from benchmarks.quality import report
from benchmarks.quality.cases import Case, cases, error_of, files_named, read, split
from benchmarks.quality.ingredients import BASE, Ingredient, read_ablation
from benchmarks.quality.packed import Answer, trained
from benchmarks.quality.plan import duration
from benchmarks.quality.results import Results, Row
from benchmarks.report import RESULTS
from foldstep.models.catalog.metrics import METRICS

KEYS = ("file", "sample", "split", "ingredient", "parameters")
RATES = (1 / 3, 1.0, 3.0, 10.0)
"""Factors on the rate that is listed."""
Missing: TypeAlias = tuple[Case, Ingredient, Row]
PAGE = report.PAGE.with_name("networks.md")
BEGIN, END = "<!-- written by `python -m benchmarks.quality.ablation --report` -->", "<!-- end of the ablation -->"
SECONDS_OF_A_ROW = 8.0
"""A first guess for the time of one row on one core."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing and print the table, or tell what is missing, or write the table on the page."""
    options = _options().parse_args(words)
    results = Results(options.results, KEYS, "quality_ablation")
    if not options.report:
        todo = missing(options, results)
        print(f"{len(todo)} rows are missing; they take about {duration(_estimate(todo, results.rows))}.")
        if options.plan:
            return
        measure(todo, options, results)
    told = table(results.rows)
    print(told)
    if options.report:
        report.write(told, options.page, BEGIN, END)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.ablation", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data files")
    parser.add_argument("--only", metavar="FILE", help="one file alone")
    parser.add_argument("--splits", type=int, default=3, help="number of splits (default 3)")
    parser.add_argument("--samples", default="300,1000", help="rows of the samples; 0 is the whole file")
    parser.add_argument("--processes", type=int, default=2, help="splits that are measured at once (default 2)")
    parser.add_argument("--ingredients", help="some of them, with commas between; all when left out")
    parser.add_argument("--results", type=Path, default=RESULTS / "quality_ablation.json", help="file of the results")
    parser.add_argument("--plan", action="store_true", help="tell what is missing and its time, and measure nothing")
    parser.add_argument("--report", action="store_true", help="write the table on the page, and measure nothing")
    parser.add_argument("--page", type=Path, default=PAGE, help="page that the table is written into")
    return parser


def missing(options: argparse.Namespace, results: Results) -> list[Missing]:
    """List the rows to measure, and tell which ingredients this version lacks.

    Raises:
        SystemExit: there is no folder, file or ingredient of the name.
    """
    if options.data is None:
        raise SystemExit("--data is missing: the folder of the data files.")
    ablation, wanted = read_ablation(), set(options.ingredients.split(",")) if options.ingredients else None
    if wanted and (unknown := wanted - {ingredient.name for ingredient in ablation.ingredients} - {BASE}):
        raise SystemExit(f"There is no ingredient {', '.join(sorted(unknown))}; ablation.yaml lists them.")
    samples = [int(sample) for sample in options.samples.split(",")]
    files = files_named(options.only, options.data)
    todo, lacking = [], set[str]()
    for case in cases(files, samples, options.splits, is_development=True):
        found, absent = ablation.available(case)
        lacking |= {ingredient.name for ingredient in absent}
        for ingredient in found:
            row = row_of(case, ingredient, ablation.spec(ingredient, case))
            if (wanted is None or ingredient.name in wanted | {BASE}) and not results.has(row):
                todo.append((case, ingredient, row))
    if lacking:
        print(f"Left out, as this version does not have them: {', '.join(sorted(lacking))}.", file=sys.stderr)
    return todo


def row_of(case: Case, ingredient: Ingredient, spec: Row) -> Row:
    """Name a row; the parameters belong to its name, so that another base is measured anew."""
    where = {"file": case.file.title, "sample": case.sample, "split": case.split}
    told = {"ingredient": ingredient.name, "point": ingredient.point}
    return where | told | {"parameters": json.dumps(spec["parameters"], sort_keys=True)}


def _estimate(todo: Sequence[Missing], rows: Sequence[Row]) -> float:
    return len(todo) * (statistics.mean(row["time"] for row in rows) if rows else SECONDS_OF_A_ROW)


def measure(todo: Sequence[Missing], options: argparse.Namespace, results: Results) -> None:
    """Train what is missing of each split together, and keep its rows as soon as they are there."""
    of_case: dict[Case, list[tuple[Ingredient, Row]]] = {}
    for case, ingredient, row in todo:
        of_case.setdefault(case, []).append((ingredient, row))
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=fresh) as pool:
        running = [pool.submit(rows_of, case, wanted, options.data) for case, wanted in of_case.items()]
        for done, future in enumerate(as_completed(running), 1):
            for row in future.result():
                results.add(row)
            print(f"{done} of {len(running)} splits: {row['file']}, {row['sample']}", file=sys.stderr, flush=True)


def rows_of(case: Case, wanted: Sequence[tuple[Ingredient, Row]], data: Path) -> list[Row]:
    """Train ingredients on one split, and compute the errors of their folds' means on the development rows."""
    assert case.is_development
    parts, ablation = split(case, read(case.file, data)), read_ablation()
    specs = [ablation.spec(ingredient, case, rate) for ingredient, _ in wanted for rate in RATES]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        answers = trained(specs, parts, Path(name))
    seconds = (time.monotonic() - begun) / len(wanted)
    rows = []
    for n, (_, row) in enumerate(wanted):
        rate, best = _best(case, answers[n * len(RATES) : (n + 1) * len(RATES)])
        error = None if best.predicted is None else error_of(case.file.task, parts.truth, best.predicted)
        rows.append(row | {"rate": rate, "error": error, "validation": best.validation, "time": round(seconds, 2)})
    return rows


def _best(case: Case, answers: Sequence[Answer]) -> tuple[float, Answer]:
    """Choose the rate with the best validation score; one that diverged comes last."""
    direction = METRICS[case.file.metric].direction
    found = list(zip(RATES, answers, strict=True))
    best = found[0]
    for rate, answer in found:
        score, than = answer.validation, best[1].validation
        if score is not None and (than is None or direction.is_better(score, than=than)):
            best = rate, answer
    return best


def table(rows: Sequence[Row]) -> str:
    """Write a line for each ingredient: mean change of the error, its standard error over the files, files it helps."""
    lines = [
        "Change of the development error by one ingredient alone, in percent of the base's: less is better.",
        "",
        "| point | ingredient | change | standard error over the files | files it helps |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (point, name), changes in sorted(changes_by_ingredient(rows).items()):
        means = [statistics.mean(of_file) for of_file in changes.values()]
        error = f"{statistics.stdev(means) / math.sqrt(len(means)):.1f}" if len(means) > 1 else "–"
        helped = f"{sum(mean < 0 for mean in means)} of {len(means)}"
        lines.append(f"| {point} | {name} | {statistics.mean(means):+.1f} | {error} | {helped} |")
    return "\n".join(lines) + "\n"


def changes_by_ingredient(rows: Sequence[Row]) -> dict[tuple[int, str], dict[str, list[float]]]:
    """Collect the changes by (point, ingredient) and file, each against the base of the same split."""
    where = ("file", "sample", "split")
    bases = {tuple(row[key] for key in where): row["error"] for row in rows if row["ingredient"] == BASE}
    found: dict[tuple[int, str], dict[str, list[float]]] = {}
    for row in rows:
        base = bases.get(tuple(row[key] for key in where))
        if base and row["ingredient"] != BASE and row["error"] is not None:
            change = 100 * (row["error"] / base - 1)
            found.setdefault((row["point"], row["ingredient"]), {}).setdefault(row["file"], []).append(change)
    return found


if __name__ == "__main__":
    main()
