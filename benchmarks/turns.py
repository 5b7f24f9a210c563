"""Throughput of this checkout against that of another one, in turns: what a change of the code costs.

    python -m benchmarks.turns --against DIR

Every turn is a fresh process with the code of its checkout, trains what `benchmarks.throughput` trains packed, and
hands over its scores, which must be the same to the last bit. Quote the median of the ratios: those of a pair were
measured next to each other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import arguments, median_and_spread, publish
from benchmarks.throughput import SHAPES

_TURN = """
import json, sys
from benchmarks.throughput import configurations, run
speed, scores = run("packed", configurations(*json.loads(sys.argv[1])))
print(json.dumps([speed, sorted((list(key), values) for key, values in scores.items())]))
"""


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "", ("--against", "the folder of the other checkout"))
    turns, n_trials, epochs = (1, 16, 2) if options.quick else (9, 40, 4)
    here = Path(__file__).parents[1]
    rows = [measure(here, Path(options.against), (*shape, n_trials, epochs), turns) for shape in SHAPES]
    publish(
        "turns", options, rows, against=commit_of(Path(options.against)), of=commit_of(here), turns=turns,
        trials=n_trials, epochs=epochs, goal="a median ratio of at least 0.97",
        unit="member-steps a second of packed training; ratio: this checkout's over the other one's, by turn",
    )  # fmt: skip


def measure(here: Path, there: Path, shape: tuple[int, ...], turns: int) -> dict[str, Any]:
    """Measure one shape of network with the code of both checkouts in turns, as one row of the table.

    Raises:
        ValueError: their scores differ.
    """
    pairs = []
    for _ in range(turns):
        (old, old_scores), (new, new_scores) = turn(there, shape), turn(here, shape)
        if old_scores != new_scores:
            raise ValueError(f"the checkouts' scores differ for width {shape[0]}, batch {shape[1]}")
        pairs.append((old, new))
    middle, least, greatest = median_and_spread([new / old for old, new in pairs])
    return {
        "width": shape[0],
        "batch": shape[1],
        "before": median_and_spread([old for old, _ in pairs])[0],
        "after": median_and_spread([new for _, new in pairs])[0],
        "ratio": middle,
        "least": least,
        "greatest": greatest,
        "same_scores": True,
    }


def turn(checkout: Path, shape: tuple[int, ...]) -> tuple[float, object]:
    """Train in a fresh process with the code of a checkout; return member-steps a second and all scores."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _TURN, json.dumps(shape)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    speed, scores = json.loads(done.stdout)
    return float(speed), scores


def commit_of(checkout: Path) -> str:
    """Name the commit of a checkout."""
    words = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
