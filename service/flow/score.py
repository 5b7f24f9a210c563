"""Mean, spread and rank key of a trial, from the scores of its folds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foldstep.service.db.searches import SearchRow


def rank_key(search: SearchRow, score: float) -> float:
    """Turn a score into the number that trials are ranked by, less being better."""
    return search.direction.loss_of(score)


def mean_and_spread(scores: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Compute mean and sample standard deviation of the folds' scores; (None, None) if one is missing or not finite."""
    finite = [s for s in scores if s is not None and math.isfinite(s)]
    if not finite or len(finite) < len(scores):
        return None, None
    n = len(finite)
    mean = _sum(finite) / n
    if not math.isfinite(mean):
        return None, None
    if n == 1:
        return mean, None
    spread = math.sqrt(_sum([(s - mean) * (s - mean) for s in finite]) / (n - 1))
    return mean, spread if math.isfinite(spread) else None


def _sum(values: Sequence[float]) -> float:
    """Compute the sum exactly, rounded once; infinite if it overflows."""
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf
