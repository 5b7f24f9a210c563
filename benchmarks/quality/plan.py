"""Estimate how long the missing rows take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.quality.cases import Case

Row = dict[str, Any]
SECONDS_AND_PER_1000 = {"realmlp": (25.0, 25.0), "mlp": (2.0, 1.0), "boosting": (2.0, 0.2), "catboost": (4.0, 1.0)}
"""First guesses on two cores: seconds of a small table, and seconds more for each 1,000 training rows."""
AROUND_A_SEARCH_S = 8.0
"""Predicting after a search, and the end of what is in training when its time is over."""


def told(todo: Sequence[tuple[Case, Row]], measured: Sequence[Row]) -> str:
    """Say how many rows are missing, and the estimate of their time, side by side."""
    by_side: dict[str, list[float]] = {}
    for case, row in todo:
        by_side.setdefault(row["side"], []).append(estimate(case, row, measured))
    lines = [f"  {side}: {len(times)} rows, {duration(sum(times))}" for side, times in by_side.items()]
    total = sum(sum(times) for times in by_side.values())
    return "\n".join([f"{len(todo)} rows are missing; they take about {duration(total)}.", *lines])


def estimate(case: Case, row: Row, measured: Sequence[Row]) -> float:
    """Estimate the seconds of one row: a search's own time, else what the side took for the same rows, else a guess."""
    if row["seconds"] is not None:
        return float(row["seconds"]) + AROUND_A_SEARCH_S
    same = ("file", "sample", "side")
    times: list[float] = [m["time"] for m in measured if all(m[key] == row[key] for key in same)]
    if times:
        return float(statistics.mean(times))
    fixed, per_1000 = SECONDS_AND_PER_1000[row["side"]]
    return fixed + per_1000 * case.n_train / 1000


def duration(seconds: float) -> str:
    """Write a time as hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"
