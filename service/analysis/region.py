"""The region of a range where the best trials lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foldstep.service.analysis.table import Numbers
from foldstep.service.contract.space import FloatRange, IntRange
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.vectors import unit

TOP_SHARE, LEAST_TOP, MOST_TOP = 0.1, 5, 25
"""The share and the numbers of trials that count as the best."""
INSIDE = 0.9
"""The share of the best trials that the region holds; the others may be there by the noise of their scores."""


@dataclass(frozen=True)
class Region:
    """A part of a range.

    Attributes:
        low: its lower end.
        high: its upper end.
        trials: number of trials in it.
        n_best: number of the best trials that were looked at.
        n_inside: number of those in it.
    """

    low: float
    high: float
    trials: int
    n_best: int
    n_inside: int


def best_region(by: str, distribution: FloatRange | IntRange, trials: Sequence[TrialRecord], losses: Numbers) -> Region:
    """Find the smallest region, in the range's scale, that holds nine of ten of the best trials.

    Its ends lie in the middle between these trials and their neighbours outside, for a range without steps.

    Args:
        by: the hyperparameter.
        distribution: its range.
        trials: trials that have it; at least one has a finite loss.
        losses: of these trials.
    """
    places = np.array([unit(distribution, trial.params[by]) for trial in trials])
    n_finite = int(np.isfinite(losses).sum())
    n_best = min(n_finite, max(LEAST_TOP, min(math.ceil(TOP_SHARE * n_finite), MOST_TOP)))
    best = np.argsort(losses, kind="stable")[:n_best]
    best = best[np.argsort(places[best], kind="stable")]
    n_held = math.ceil(INSIDE * n_best)
    first = int(np.argmin(places[best[n_held - 1 :]] - places[best[: n_best - n_held + 1]]))
    ends = best[first], best[first + n_held - 1]
    low, high = float(places[ends[0]]), float(places[ends[1]])
    if distribution.n_values is None:
        low = (low + max(places[places < low], default=0.0)) / 2
        high = (high + min(places[places > high], default=1.0)) / 2
        values = [float(distribution.from_unit(u)) for u in (low, high)]
    else:
        values = [float(str(trials[i].params[by])) for i in ends]
    inside = (places >= low) & (places <= high)
    return Region(values[0], values[1], int(inside.sum()), n_best, int(inside[best].sum()))
