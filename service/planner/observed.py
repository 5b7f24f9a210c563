"""Turn evidence into what a model learns from: points of the space with losses that are all finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.space import Params
from foldstep.service.planner.evidence import Evidence

_HUGE = 1e100  # losses whose squares still have a sum


class Observed(NamedTuple):
    """A trial of the batches before.

    Attributes:
        position: within the stage, from 0.
        params: its point of the space.
        loss: less is better; the worst one seen for a diverged trial.
    """

    position: int
    params: Params
    loss: float


def observe(evidence: Evidence, names: Sequence[str], first: int, direction: Direction) -> list[Observed]:
    """Give a model the trials of a stage, in the order of their numbers.

    A diverged trial is as bad as the worst that has a score, so that a model keeps away from where training goes wrong.

    Args:
        evidence: of the stage.
        names: of the space's parameters.
        first: number of the stage's first trial.
        direction: whether more or less is better.
    """
    losses = evidence.losses(direction)
    worst = max((loss for loss in losses if math.isfinite(loss)), default=0.0)
    return [
        Observed(t.number - first, {n: t.params[n] for n in names if n in t.params}, min(loss, worst))
        for t, loss in zip(evidence.trials, losses, strict=True)
    ]


def thin(observed: Sequence[Observed], n_best: int, n_others: int, generator: np.random.Generator) -> list[Observed]:
    """The best ones, and a random sample of the others, in their order: what a proposal costs stays bounded."""
    if len(observed) <= n_best + n_others:
        return list(observed)
    ranked = sorted(range(len(observed)), key=lambda place: observed[place].loss)
    others = generator.choice(ranked[n_best:], n_others, replace=False)
    return [observed[place] for place in sorted([*ranked[:n_best], *map(int, others)])]


def normal_scores(losses: Sequence[float]) -> npt.NDArray[np.float64]:
    """Losses as quantiles of the normal distribution, by their ranks; equal ones share theirs.

    A model of losses that reach from 0.1 to 1e9 sees the 1e9 alone; one of their ranks does not (a Gaussian copula,
    as in Salinas, Shen and Perrone 2020, arXiv 1909.13595).
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(losses) - 0.5) / len(losses)))


def levelled(losses: Sequence[float]) -> npt.NDArray[np.float64]:
    """Losses with mean 0 and variance 1, the bad ones cut off as far above the median as the best lies below, twice.

    How bad a bad trial is matters to nobody, and a model of losses from 0.1 to 1e9 would see the 1e9 alone.
    """
    values = np.clip(losses, -_HUGE, _HUGE)
    median = np.median(values)
    cut = np.minimum(values, median + 2 * (median - values.min()))
    spread = cut.std()
    return np.asarray((cut - cut.mean()) / spread if spread > 0 else np.zeros(len(cut)))
