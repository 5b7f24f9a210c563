"""Fold racing: stop a trial whose first folds are clearly worse than those of the incumbent (the best trial).

All trials share folds, batches and noise, so a trial and the incumbent are compared fold by fold. Let d be the
differences of their losses on the k folds seen, n the number of all folds and s the typical spread of such
differences over the folds. Were the trial as good as the incumbent over all n folds, the mean of d would have the
standard deviation s * sqrt(1/k - 1/n): k of n values are drawn without replacement (Cochran 1977, "Sampling
Techniques", section 2.6). A trial whose mean lies further out than the `FALSE_DROPS` quantile of Student's distribution
is dropped; so one that would have beaten the incumbent is dropped with at most that probability, if the differences are
about normal with equal spread. A single trial has too few folds to estimate its own spread (with one fold it is
undefined), so s is pooled over the decided trials nearest to the incumbent.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

FALSE_DROPS = 0.01
"""The greatest probability of dropping a trial that would have beaten the incumbent."""
FEWEST_POOLED, MOST_POOLED = 4, 20
"""Least and greatest number of decided trials whose differences to the incumbent are pooled; with fewer than the least
no trial is dropped."""
POOLED_SHARE = 1 / 2
"""Share of the decided trials, the best of them, that may be pooled: much worse trials have another spread."""


@dataclass(frozen=True)
class Yardstick:
    """The incumbent that trials are compared with, and the noise of such a comparison.

    Attributes:
        incumbent: losses of the incumbent, one a fold.
        spread: standard deviation over the folds of the difference between a typical good trial and the incumbent.
        freedom: degrees of freedom of the estimate `spread`.
    """

    incumbent: Sequence[float]
    spread: float
    freedom: int


def n_first_folds(n_folds: int) -> int:
    """Compute how many folds are trained before the others: a third, rounded up."""
    return math.ceil(n_folds / 3)


class Field:
    """The decided trials that others are compared with; only the best of them are kept.

    Args:
        n_folds: number of folds of the search.
    """

    def __init__(self, n_folds: int) -> None:
        self._n_folds = n_folds
        self._n = 0
        self._best: list[tuple[float, int, Sequence[float]]] = []  # mean loss, order of arrival, losses by fold

    def add(self, folds: Sequence[float]) -> None:
        """Add a decided trial, given the losses of all its folds; one without a finite mean is ignored."""
        total = math.fsum(folds)
        if len(folds) == self._n_folds and math.isfinite(total):
            self._n += 1
            insort(self._best, (total / self._n_folds, self._n, folds))
            del self._best[MOST_POOLED + 1 :]

    def yardstick(self) -> Yardstick | None:
        """Compute the incumbent and the spread of the next best trials' differences to it; None with too few trials."""
        n_pooled = min(MOST_POOLED, math.ceil(self._n * POOLED_SHARE), len(self._best) - 1)
        if n_pooled < FEWEST_POOLED:
            return None
        best, *others = [folds for _, _, folds in self._best[: n_pooled + 1]]
        pooled = [_variance([a - b for a, b in zip(folds, best, strict=True)]) for folds in others]
        # the differences share the incumbent's noise, so they have fewer degrees of freedom than independent ones
        freedom = max(self._n_folds - 1, n_pooled * (self._n_folds - 1) // 2)
        return Yardstick(best, math.sqrt(math.fsum(pooled) / n_pooled), freedom)


def is_clearly_worse(folds: Sequence[float], yardstick: Yardstick) -> bool:
    """Tell whether a trial's first folds are significantly worse than the incumbent's.

    Args:
        folds: the losses of its first folds; not finite where it diverged.
        yardstick: the incumbent and the noise.
    """
    n_seen, n_folds = len(folds), len(yardstick.incumbent)
    behind = math.fsum(a - b for a, b in zip(folds, yardstick.incumbent, strict=False)) / n_seen
    noise = yardstick.spread * math.sqrt(1 / n_seen - 1 / n_folds)
    return behind > 0 and behind > _quantile(yardstick.freedom) * noise


def _variance(values: Sequence[float]) -> float:
    """Compute the sample variance (n - 1); `statistics.variance` uses exact fractions, which is too slow here."""
    mean = math.fsum(values) / len(values)
    return math.fsum((v - mean) * (v - mean) for v in values) / (len(values) - 1)


@cache
def _quantile(freedom: int) -> float:
    """Compute the quantile of Student's distribution at 1 - `FALSE_DROPS`."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - FALSE_DROPS))
