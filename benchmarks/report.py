"""Functions shared by all benchmarks: options, the machine's description, results as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "scikit-learn", "sqlalchemy", "fastapi")


def arguments(description: str, *required: tuple[str, str]) -> argparse.Namespace:
    """Parse the options of every benchmark: `--quick` for a short run, `--json` to print JSON, `--save` to store it.

    Args:
        description: of the benchmark.
        required: options of its own, each with its help.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs, for a look")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--save", action="store_true", help="write the result to benchmarks/results/")
    for option, meaning in required:
        parser.add_argument(option, required=True, help=meaning)
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, memory, system and versions."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def publish(name: str, options: argparse.Namespace, rows: Sequence[dict[str, Any]], **facts: Any) -> None:
    """Print the rows as a table or as JSON; with `--save` write them to `benchmarks/results/`.

    Args:
        name: of the benchmark.
        options: from `arguments`.
        rows: one record for each line of the table, all with the same keys.
        facts: settings and goals of the benchmark.
    """
    result = {
        "benchmark": name,
        "date": datetime.now(UTC).date().isoformat(),
        "quick": options.quick,
        "machine": machine(),
        **facts,
        "rows": list(rows),
    }
    text = json.dumps(result, indent=2)
    if options.json:
        print(text)
    else:
        _print_table(name, rows, facts)
    if options.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")


def _print_table(name: str, rows: Sequence[dict[str, Any]], facts: dict[str, Any]) -> None:
    table = Table(*rows[0], title=name, title_justify="left")
    for row in rows:
        table.add_row(*(f"{v:,.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    console = Console()
    console.print(table)
    for key, value in facts.items():
        console.print(f"{key}: {value}", markup=False)


def median_and_spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Compute median, least and greatest of the values."""
    return statistics.median(values), min(values), max(values)
