"""Trials of the same time: what is compared of a search whose method learns from its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from foldstep.service.analysis.groups import FEWEST_OF_VALUE, Group

BLOCK = 32
"""Consecutive trials that count as of the same time; smaller blocks have too few trials of a rare value to compare."""
Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def blocks_of(n_trials: int, *, adaptive: bool) -> Indices:
    """Number the block of each trial, in the order of the trials; one block where the method does not learn."""
    n_blocks = max(1, n_trials // BLOCK) if adaptive else 1
    return np.minimum(np.arange(n_trials) // BLOCK, n_blocks - 1)


def expected_best(groups: Sequence[Group], losses: Numbers, blocks: Indices) -> tuple[int, tuple[Group, ...]]:
    """Compute the loss to expect of the best of equally many trials of each group, drawn from the same time.

    The group with the fewest scores, but not fewer than `FEWEST_OF_VALUE`, sets how many are drawn, and when: for each
    of its trials one of the same block is drawn from each other group, or, where that has none there, of the nearest.

    Returns:
        How many are drawn, and the groups, the best first, rare ones after the others.
    """
    scored = {g: g.trials[np.isfinite(losses[g.trials])] for g in groups if g.n_scored}
    enough = [own for own in scored.values() if len(own) >= FEWEST_OF_VALUE]
    equal = enough if len(enough) > 1 else list(scored.values())
    fewest = min(equal, key=len, default=np.array([], dtype=np.int64))
    known = [_with_expected(g, scored[g], fewest, losses, blocks) if g in scored else g for g in groups]
    known.sort(key=lambda g: (g.expected is None, g.is_rare, g.expected or 0.0, g.value))
    return len(fewest), tuple(known)


def _with_expected(group: Group, own: Indices, fewest: Indices, losses: Numbers, blocks: Indices) -> Group:
    weights = np.zeros(len(own))
    for index in fewest:
        same = blocks[own] == blocks[index]
        if not same.any():
            same = np.abs(own - index) == np.abs(own - index).min()
        weights += same / same.sum()
    expected, low, high = best_of(losses[own], weights, len(fewest))
    return replace(group, expected=expected, low=low, high=high)


def best_of(losses: Numbers, weights: Numbers, n: int) -> tuple[float, float, float]:
    """Compute mean, 90 % and 10 % quantile of the least of n draws with replacement, by weight.

    P(least >= loss i) = (weight of all losses from i on)^n: Dodge et al. 2019, "Show your work", equation 1.
    """
    order = np.argsort(-losses)  # the worst first
    goods, drawn = losses[order], weights[order] > 0
    cumulated = (np.cumsum(weights[order]) / weights.sum()) ** n
    shares = np.diff(cumulated, prepend=0.0)
    goods, shares, cumulated = goods[drawn], shares[drawn], np.minimum(cumulated[drawn], 1.0)
    cumulated[-1] = 1.0
    low, high = (float(goods[int(np.searchsorted(cumulated, q))]) for q in (0.1, 0.9))
    return float(goods @ shares), low, high
