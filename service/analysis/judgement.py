"""The judgement of a hyperparameter's values, by their trials: the one that importance and comparison both tell.

A method that learns from results samples good values more often, and more and more in good company: the trials of a
poor value are then early ones, with everything else not yet optimised. So values are compared within blocks of
consecutive trials alone, by their ranks there, from which a linear model of everything else is subtracted. Two
statistics are used: the mean of what is left, and the share of the best twentieth of all trials. Their significance is
that of a permutation test that exchanges trials within their blocks (Pitman 1937).

A value is called better than another in error with probability `ALPHA` at most, for each hyperparameter. Where no
difference is seen, it is said to make little difference only if one of `LITTLE` would have been seen, else that the
trials are too few to tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import NamedTuple

import numpy as np

from foldstep.models.catalog.metrics import Direction
from foldstep.service.analysis.groups import Group, groups_of
from foldstep.service.analysis.matching import Indices, blocks_of, expected_best
from foldstep.service.analysis.table import NO_SUBJECT, Numbers, bounded, within
from foldstep.service.contract.insight import Verdict
from foldstep.service.contract.space import Choices, Space
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import Evidence
from foldstep.service.planner.vectors import expanded, rows

FEWEST_TRIALS = 10
"""With fewer trials nothing is judged."""
FEWEST_DIVERGED = 10
"""A value without any score counts as a poor one from this number of trials on."""
ALPHA = 0.02
LITTLE = 0.5
"""A difference in units of the standard deviation between trials; of two equal groups, 6 % of the variance."""
TOP_SHARE, LEAST_TOP = 0.05, 8
"""The share of the trials that count as the best, and their number where there are 16 trials at least."""
FEW, N_FEW, N_MANY = 400, 4999, 499
"""Up to `FEW` trials are exchanged `N_FEW` times, more of them `N_MANY` times."""
_RIDGE = 3.0


@dataclass(frozen=True)
class Judgement:
    """What the trials say of the values of a hyperparameter.

    Attributes:
        groups: its choices, or the parts of its range, the best first.
        worse: those that are clearly worse than the first, by more than the spread of the folds.
        equal: number of trials that `Group.expected` refers to.
        noise: the spread between the folds, of the best trials.
    """

    verdict: Verdict
    groups: tuple[Group, ...]
    worse: tuple[Group, ...]
    equal: int
    noise: float


class _Seen(NamedTuple):
    """The trials of the judgement: their ranks as normal scores, their place among the best, and their blocks."""

    adjusted: Numbers
    top: Numbers
    blocks: Indices
    losses: Numbers


def judge_values(
    space: Space, by: str, records: Sequence[TrialRecord], direction: Direction, *, adaptive: bool = True
) -> Judgement:
    """Judge the values of a hyperparameter.

    Args:
        space: the stage's.
        by: the hyperparameter: a list of choices, or a range, which is judged in parts, see `groups_of`.
        records: trials of one stage.
        direction: whether higher or lower scores are better.
        adaptive: whether the method learned from results, so that later trials are better for other reasons.
    """
    evidence = Evidence(tuple(t for t in Evidence.of(records).trials if by in t.params))
    losses = np.array(evidence.losses(direction))
    blocks = blocks_of(len(losses), adaptive=adaptive)
    found = groups_of(space, by, evidence.trials, losses)
    equal, groups = expected_best(found, losses, blocks)
    noise = _noise(groups, evidence.trials, losses)
    if len(groups) > 1 and _are_alike(np.array(Evidence.of(records).losses(direction))):
        return Judgement("little", groups, (), equal, noise)
    if not _can_be_judged(groups, losses):
        return Judgement("too_few", groups, (), equal, noise)
    seen = _Seen(_adjusted(space, by, evidence.trials, losses, blocks), _top(losses), blocks, losses)
    worse = _clearly_worse(groups, seen)
    if worse is None:
        verdict: Verdict = "little" if _is_precise(groups, seen, noise) else "too_few"
        return Judgement(verdict, groups, (), equal, noise)
    beyond = tuple(g for g in worse if g.expected is None or g.expected - (groups[0].expected or 0.0) > noise)
    return Judgement("differs" if beyond else "equal" if worse else "too_few", groups, beyond, equal, noise)


def _are_alike(losses: Numbers) -> bool:
    """Tell whether the losses of all trials are finite and equal."""
    return len(losses) >= FEWEST_TRIALS and bool(np.isfinite(losses).all()) and float(np.ptp(losses)) == 0.0


def _can_be_judged(groups: Sequence[Group], losses: Numbers) -> bool:
    scored = [g for g in groups if g.n_scored]
    telling = [g for g in groups if not g.is_rare and (g.n_scored or len(g.trials) >= FEWEST_DIVERGED)]
    return len(losses) >= FEWEST_TRIALS and len(telling) >= 2 and len(scored) > 0


def _noise(groups: Sequence[Group], trials: Sequence[TrialRecord], losses: Numbers) -> float:
    best = [g.trials[int(np.argmin(losses[g.trials]))] for g in groups if g.n_scored]
    return float(median([s for i in best if (s := trials[i].spread) is not None] or [0.0]))


def _clearly_worse(groups: Sequence[Group], seen: _Seen) -> tuple[Group, ...] | None:
    """Find the groups that are clearly worse than the first; None where the groups do not differ at all."""
    telling = [g for g in groups if not g.is_rare]
    if _significance([g.trials for g in telling], seen).p > ALPHA:
        return None
    pairs = {g: _significance([telling[0].trials, g.trials], seen) for g in telling[1:]}
    return tuple(g for g, found in pairs.items() if found.p <= ALPHA and found.is_for_first)


class _Significance(NamedTuple):
    """The probability of differences as great as those seen, by chance; and whether they speak for the first group."""

    p: float
    is_for_first: bool


def _significance(groups: Sequence[Indices], seen: _Seen) -> _Significance:
    of = np.concatenate(groups)
    labels = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    p_mean, mean = _permuted(seen.adjusted[of], labels, seen.blocks[of])
    p_top, top = _permuted(seen.top[of], labels, seen.blocks[of])
    is_for_first = top > 0 if p_top <= ALPHA / 2 else mean < 0
    return _Significance(min(1.0, 2 * min(p_mean, p_top)), is_for_first)


def _permuted(values: Numbers, labels: Indices, blocks: Indices) -> tuple[float, float]:
    """Test whether values depend on labels, within blocks; also return the first label's surplus over its blocks."""
    _, blocks, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    centred = values - (np.bincount(blocks, values) / sizes)[blocks]
    members = np.eye(labels.max() + 1)[labels]
    variance = np.bincount(blocks, centred**2) / np.maximum(sizes - 1, 1)
    counts = np.stack([np.bincount(blocks, member, len(sizes)) for member in members.T])
    spread = (variance * counts * (sizes - counts) / sizes).sum(axis=1)
    if not (spread > 1e-12).all():
        members, spread = members[:, spread > 1e-12], spread[spread > 1e-12]
    if not len(spread):
        return 1.0, 0.0
    totals = centred @ members
    statistic = float((totals**2 / spread).sum())
    generator = np.random.default_rng(0)
    n_times = N_FEW if len(values) <= FEW else N_MANY
    by_block = np.argsort(blocks, kind="stable")
    n_as_great = 0
    for _ in range(n_times):
        order = np.argsort(blocks + generator.random(len(values)))
        exchanged = np.empty_like(centred)
        exchanged[by_block] = centred[order]
        n_as_great += float(((exchanged @ members) ** 2 / spread).sum()) >= statistic * (1 - 1e-9)
        if 1 + n_as_great > ALPHA * (1 + n_times):  # however the others come out, it is no small probability
            return 1.0, float(totals[0])
    return (1 + n_as_great) / (1 + n_times), float(totals[0])


def _top(losses: Numbers) -> Numbers:
    """Mark the best trials; equal ones share what is left for them."""
    n = max(math.ceil(TOP_SHARE * len(losses)), min(LEAST_TOP, len(losses) // 2))
    bar = np.sort(losses)[n - 1]
    better, tied = losses < bar, losses == bar
    return np.asarray(better + tied * (n - better.sum()) / tied.sum())


def _adjusted(space: Space, by: str, trials: Sequence[TrialRecord], losses: Numbers, blocks: Indices) -> Numbers:
    """Compute normal scores of the ranks in each block, less what a ridge regression on everything else predicts.

    Each is predicted from the others (left out by the formula with the hat matrix).
    """
    scores = np.zeros(len(losses))
    for block in np.unique(blocks):
        own = blocks == block
        scores[own] = _normal_scores(losses[own])
    names = [n for n in space.searched() if n != by and n not in NO_SUBJECT]
    if not names:
        return scores
    features = _features(space, names, trials)
    varied = features[:, features.std(axis=0) > 0]
    x = np.column_stack([(varied - varied.mean(axis=0)) / varied.std(axis=0), np.ones(len(losses))])
    fitted = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T)
    leverage = np.einsum("ij,ji->i", x, fitted)
    return np.asarray((scores - x @ (fitted @ scores)) / (1 - np.minimum(leverage, 0.9)))


def _normal_scores(losses: Numbers) -> Numbers:
    """Compute the quantiles of a normal distribution at the ranks, of which equal losses share the mean."""
    _, inverse, counts = np.unique(losses, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - counts / 2
    return np.array([NormalDist().inv_cdf(rank / len(losses)) for rank in ranks])[inverse]


def _features(space: Space, names: Sequence[str], trials: Sequence[TrialRecord]) -> Numbers:
    places = rows(space, names, [within(space, names, t.params) for t in trials])
    ranges = [i for i, n in enumerate(names) if not isinstance(space.parameters[n], Choices)]
    return np.hstack([expanded(space, names, places, 0.0), places[:, ranges] ** 2])


def _is_precise(groups: Sequence[Group], seen: _Seen, noise: float) -> bool:
    """Tell whether a difference of `LITTLE`, or of the folds' spread, would have been seen with 95 % in each group."""
    _, blocks, sizes = np.unique(seen.blocks, return_inverse=True, return_counts=True)
    centred = seen.adjusted - (np.bincount(blocks, seen.adjusted) / sizes)[blocks]
    deviation, losses = float(centred.std()), float(bounded(seen.losses).std())
    for group in groups:
        counts = np.bincount(blocks[group.trials], minlength=len(sizes))
        n_pairs = float((counts * (sizes - counts) / sizes).sum())
        error = 2 / math.sqrt(n_pairs) if n_pairs else math.inf
        if error * deviation > LITTLE and error * losses > noise:
            return False
    return True
