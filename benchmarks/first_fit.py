"""Time an estimator's first result: a new process imports Foldstep and fits 500 rows of 10 columns.

    python -m benchmarks.first_fit [--quick] [--save]

One trial in the default space is the first result; a fit with a time limit of five seconds is what a user in a hurry
does. Each is timed from the start of the process, start of the service included, and once more in the same process,
which has a service by then. Prediction before the first run, two cores: 5 s and 9 s, then 2 s and 6 s.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.report import arguments, median_and_spread, publish

GOAL_S = 5.0
FITS = {"one trial": "n_trials=1", "time_limit=5": "time_limit=5"}
_PROGRAM = """
import time
import numpy as np
from foldstep import FoldstepRegressor
random = np.random.default_rng(0)
x = random.normal(size=(500, 10))
y = x @ random.normal(size=10) + random.normal(size=500)
for _ in range(2):
    begun = time.monotonic()
    model = FoldstepRegressor({words}).fit(x, y)
    print(time.time(), time.monotonic() - begun, len(model.cv_results_["params"]), model.score(x, y), flush=True)
"""


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    repeats = 1 if options.quick else 3
    rows = [row for what, words in FITS.items() for row in _timed(what, words, repeats)]
    publish(
        "first_fit", options, rows, unit="seconds: median, least and greatest; r2 on the rows of the fit",
        goal=f"{GOAL_S:g} s to the first result, start-up included", repeats=repeats, load_before=os.getloadavg()[0],
    )  # fmt: skip


def _timed(what: str, words: str, repeats: int) -> list[dict[str, Any]]:
    runs = [_run(words) for _ in range(repeats)]
    return [_row(what, place, [run[i] for run in runs]) for i, place in enumerate(("new process", "second fit"))]


def _row(what: str, place: str, runs: Sequence[tuple[float, int, float]]) -> dict[str, Any]:
    seconds, trials, scores = zip(*runs, strict=True)
    median, least, greatest = (round(value, 2) for value in median_and_spread(seconds))
    return {
        "fit": what, "in": place, "median": median, "least": least, "greatest": greatest, "trials": min(trials),
        "r2": round(min(scores), 3),
    }  # fmt: skip


def _run(words: str) -> list[tuple[float, int, float]]:
    """Fit twice in a new process; return seconds, trials and score of each fit."""
    begun = time.time()
    argv = [sys.executable, "-c", _PROGRAM.format(words=words)]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    first, second = ([float(word) for word in line.split()] for line in told.splitlines())
    return [(first[0] - begun, int(first[2]), first[3]), (second[1], int(second[2]), second[3])]


if __name__ == "__main__":
    main()
