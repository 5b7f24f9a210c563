"""Time the reading of tables beside pandas and polars, with the memory that each takes.

    python -m benchmarks.ingest [--quick] [--save]

Ours reads, decides kinds, reports and stores the canonical file; the others only read the file with their defaults.
Each side runs in a process of its own, whose greatest resident memory is measured. Predictions before the first run, 5
million rows, 30 columns, 1 GB, 2 cores: ours 40 s, polars 6 s, pandas 45 s; our memory twice the canonical file's size.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from benchmarks.report import arguments, publish
from foldstep.service.contract.processes import python_command

SMALL, LARGE, REPEATS = 100_000, 5_000_000, 3
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
_WORDS = ("north", "south", "east", "west", "alpha", "beta", "gamma", "delta", "omega", "blue", "green", "red")


def make_table(path: Path, rows: int) -> None:
    """Write a CSV of 30 columns: 20 of numbers, 10 of text with 12 to 20,000 different words, and missing cells."""
    block = 500_000
    with path.open("wb") as file:
        for start in range(0, rows, block):
            frame = _block(start, min(block, rows - start))
            frame.write_csv(file, include_header=start == 0)


def _block(start: int, n: int) -> pl.DataFrame:
    generator = np.random.Generator(np.random.Philox(key=[1, start]))
    columns: dict[str, pl.Series] = {}
    for i in range(20):
        values = np.round(generator.normal(size=n) * 10 ** (i % 4), 4)
        columns[f"x{i}"] = pl.Series(values).set(pl.Series(generator.random(n) < 0.01 * (i % 3)), None)
    for i in range(10):
        size = (12, 100, 1000, 20_000)[i % 4]
        codes = generator.integers(size, size=n)
        words = pl.Series([f"{_WORDS[k % 12]}{k // 12 or ''}" for k in range(size)])
        columns[f"t{i}"] = words.gather(codes)
    return pl.DataFrame(columns)


def run_side(side: str, path: Path, into: Path) -> dict[str, float]:
    """Read the file in this process; return seconds, the greatest resident memory in bytes, rows and bytes stored."""
    began = time.perf_counter()
    stored = 0
    if side == "foldstep":
        from foldstep.service.data.ingest import ingest
        from foldstep.service.data.target_report import report

        description = ingest(path, into=into)
        report(description, into / f"{description.fingerprint}.parquet", "x0")
        rows, stored = description.n_rows, description.bytes
    elif side == "polars":
        rows = len(pl.read_csv(path))
    else:
        import pandas as pd

        rows = len(pd.read_csv(path))
    seconds = time.perf_counter() - began
    return {
        "s": seconds,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "rows": rows,
        "stored": stored,
    }


def measure(side: str, path: Path, into: Path) -> dict[str, float]:
    """Run a side in a process of its own, start included."""
    began = time.perf_counter()
    command = python_command("benchmarks.ingest", "--side", side, str(path), str(into))
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=_ENVIRONMENT).stdout.split()
    inside, rss, rows, stored = map(float, answer)
    return {"s": time.perf_counter() - began, "inside_s": inside, "rss": rss, "rows": rows, "stored": stored}


def main() -> None:
    """Measure all sides in turns on two sizes, and print or save the table."""
    if sys.argv[1:2] == ["--side"]:  # a process of `measure`
        side, source, into = sys.argv[2:]
        print(*run_side(side, Path(source), Path(into)).values())
        return
    options = arguments(__doc__.split("\n", maxsplit=1)[0])
    sides = ["foldstep", "polars", *(["pandas"] if find_spec("pandas") is not None else [])]
    found = []
    with TemporaryDirectory(prefix="foldstep-ingest-") as folder:
        for rows in (SMALL,) if options.quick else (SMALL, LARGE):
            path = Path(folder) / f"{rows}.csv"
            make_table(path, rows)
            found += _compared(sides, path, rows, Path(folder) / "canonical")
            path.unlink()
    publish("ingest", options, found, repeats=REPEATS)


def _compared(sides: list[str], path: Path, rows: int, into: Path) -> list[dict[str, object]]:
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(REPEATS):
        for side in sides:
            runs[side].append(measure(side, path, into))
    for side in sides:
        assert all(run["rows"] == rows for run in runs[side]), f"{side} read another number of rows"
    return [
        {
            "file_mb": round(path.stat().st_size / 1e6),
            "rows": rows,
            "side": side,
            "median_s": round(median(run["s"] for run in runs[side]), 2),
            "peak_mb": round(max(run["rss"] for run in runs[side]) / 1e6),
            "canonical_mb": round(runs[side][0]["stored"] / 1e6),
        }
        for side in sides
    ]


if __name__ == "__main__":
    main()
