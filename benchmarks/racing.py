"""How often racing drops the eventual winner, on the folds' scores of real searches kept by `benchmarks.stopping`.

The rule is applied to the stored scores, search by search, in many random orders of the trials and of the folds. Two
numbers are counted: the orders in which the eventual winner is dropped, and, over all orders, the raced trials that
would have beaten their incumbent and were dropped. The rule states that at most a share `FALSE_DROPS` of those are.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.report import arguments, publish
from benchmarks.stopping import FOLDS_FILE
from foldstep.service.contract.spec import EarlyStopSpec
from foldstep.service.planner.racing import FALSE_DROPS, n_first_folds
from foldstep.service.planner.rungs import Climber, block_size, decide

RULES = EarlyStopSpec(rungs="none", race_folds=True)


class Race(NamedTuple):
    """The outcome of one order of one search.

    Attributes:
        winner_dropped: whether the trial with the best score over all folds was dropped.
        n_better: raced trials that would have beaten the best of the blocks before them.
        n_better_dropped: how many of those were dropped.
        folds_share: folds trained, as a share of all folds of all trials.
    """

    winner_dropped: bool
    n_better: int
    n_better_dropped: int
    folds_share: float


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    searches: dict[str, list[list[float]]] = json.loads(FOLDS_FILE.read_text())
    n_orders = 20 if options.quick else 400
    rows = [row(name, searches, n_orders) for name in sorted({key.partition(",")[0] for key in searches})]
    publish("racing", options, rows, orders=n_orders, stated_false_drops=FALSE_DROPS, searches=len(searches))


def row(name: str, searches: dict[str, list[list[float]]], n_orders: int) -> dict[str, Any]:
    """Race all searches of one data set in all orders; return one row."""
    draw = random.Random(0)
    sign = 1.0 if name == "concrete" else -1.0
    own = [[[sign * s for s in folds] for folds in trials] for k, trials in searches.items() if k.startswith(name)]
    races = [race(shuffled(losses, draw)) for losses in own for _ in range(n_orders)]
    n_better = sum(r.n_better for r in races)
    return {
        "data": name,
        "searches": len(own),
        "winner_dropped_percent": round(100 * sum(r.winner_dropped for r in races) / len(races), 3),
        "better_than_incumbent": n_better,
        "of_these_dropped_percent": round(100 * sum(r.n_better_dropped for r in races) / max(1, n_better), 3),
        "folds_trained_share": round(math.fsum(r.folds_share for r in races) / len(races), 3),
    }


def shuffled(losses: Sequence[Sequence[float]], draw: random.Random) -> list[list[float]]:
    """Shuffle the trials, and their folds by one order for all trials."""
    folds = draw.sample(range(len(losses[0])), len(losses[0]))
    return [[trial[f] for f in folds] for trial in draw.sample(list(losses), len(losses))]


def race(losses: Sequence[Sequence[float]]) -> Race:
    """Race one search in one order.

    Args:
        losses: the loss of each trial on each fold, in the order of trials and folds; less is better.
    """
    n_folds, n_first = len(losses[0]), n_first_folds(len(losses[0]))
    climbers = [Climber(i, [folds[:n_first], folds, folds], 1) for i, folds in enumerate(losses)]
    (verdict,) = decide(RULES, climbers, n_folds=n_folds, is_closed=True)
    totals = [math.fsum(folds) for folds in losses]
    size = block_size(RULES)
    better = [i for i in range(size, len(losses)) if totals[i] < min(totals[: i // size * size])]
    n_trained = len(verdict.on) * n_folds + len(verdict.off) * n_first
    return Race(
        winner_dropped=totals.index(min(totals)) in verdict.off,
        n_better=len(better),
        n_better_dropped=sum(i in verdict.off for i in better),
        folds_share=n_trained / (len(losses) * n_folds),
    )


if __name__ == "__main__":
    main()
