"""The cost of the diagnostics: training with and without the probe, by turns in one process.

The shapes and the data are those of `benchmarks.throughput`. Time is the process's own CPU time on one thread, so
that other processes on the machine matter little; each pair of turns gives one ratio. The result is their median, and
the ratio of each side's fastest turn, which a busy machine disturbs the least.
Both sides must come to the same scores, bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks import sides
from benchmarks.report import arguments, median_and_spread, publish
from benchmarks.throughput import FOLDS, SHAPES, configurations
from foldstep.models.eager.workspace import Workspace
from foldstep.models.stack import Stack
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.train.probe import Probe

GOAL_PERCENT = 3.0
LENGTHS = ((4, 10), (30, 2))
"""(epochs, trials): short trainings are probed the most often."""


class Blind(Probe):
    """A probe that measures nothing, for the side without diagnostics."""

    def begin(self, epoch: int) -> None:
        """Do nothing: no probe is due."""

    def look(self, space: Workspace, weights: Stack) -> None:
        """Do nothing; it is never called."""

    def note(self, live: Sequence[bool]) -> None:
        """Do nothing: there are no readings to store."""


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    turns = 3 if options.quick else 9
    source = sides.digits(FOLDS)
    rows = [measure(source, shape, length, turns) for length in LENGTHS for shape in SHAPES]
    publish(
        "diagnostics", options, rows,
        data="digits, 5 folds", turns=turns, goal_percent=GOAL_PERCENT,
        unit="CPU seconds of one process; the cost is the median over the turns of (with / without - 1), in percent",
    )  # fmt: skip


def measure(source: FoldSource, shape: tuple[int, int], length: tuple[int, int], turns: int) -> dict[str, Any]:
    """Measure both sides by turns, each first in about half of them; return one row."""
    (width, batch), (epochs, n_trials) = shape, length
    share = list(enumerate(configurations(width, batch, n_trials, epochs)))
    sides.train_packed(source, share[:1])  # warm up
    seconds: dict[type[Probe], list[float]] = {Probe: [], Blind: []}
    scores: dict[type[Probe], sides.Scores] = {}
    for turn in range(turns):
        for probing in (Probe, Blind) if turn % 2 else (Blind, Probe):
            begun = time.process_time()
            _, scores[probing] = sides.train_packed(source, share, probing)
            seconds[probing].append(time.process_time() - begun)
    assert scores[Probe] == scores[Blind], "the probe changed what was trained"
    costs = [100 * (a / b - 1) for a, b in zip(seconds[Probe], seconds[Blind], strict=True)]
    return {
        "width": width,
        "batch": batch,
        "epochs": epochs,
        "trials": n_trials,
        "with": median_and_spread(seconds[Probe])[0],
        "without": median_and_spread(seconds[Blind])[0],
        "cost_percent": round(median_and_spread(costs)[0], 2),
        "cost_of_fastest_percent": round(100 * (min(seconds[Probe]) / min(seconds[Blind]) - 1), 2),
        "cost_range": [round(c, 2) for c in median_and_spread(costs)[1:]],
    }


if __name__ == "__main__":
    main()
