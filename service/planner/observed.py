"""The training data of the models: observed points of the space with losses that are all finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.space import Params
from foldstep.service.planner.evidence import Evidence

_HUGE = 1e100  # bound on losses, so that a sum of their squares does not overflow


class Observed(NamedTuple):
    """A trial of an earlier batch.

    Attributes:
        position: within the stage, from 0.
        params: its point of the space.
        loss: lower is better; a diverged trial has the greatest finite loss of the stage.
    """

    position: int
    params: Params
    loss: float


def observe(evidence: Evidence, names: Sequence[str], first: int, direction: Direction) -> list[Observed]:
    """Convert the trials of a stage for a model, in the order of their numbers.

    A diverged trial gets the greatest finite loss, so that a model avoids regions where training diverges.

    Args:
        evidence: of the stage.
        names: names of the space's parameters.
        first: number of the stage's first trial.
        direction: whether higher or lower scores are better.
    """
    losses = evidence.losses(direction)
    worst = max((loss for loss in losses if math.isfinite(loss)), default=0.0)
    return [
        Observed(t.number - first, {n: t.params[n] for n in names if n in t.params}, min(loss, worst))
        for t, loss in zip(evidence.trials, losses, strict=True)
    ]


def thin(observed: Sequence[Observed], n_best: int, n_others: int, generator: np.random.Generator) -> list[Observed]:
    """Keep the `n_best` best trials and a random sample of `n_others` others, in order, to bound a proposal's cost."""
    if len(observed) <= n_best + n_others:
        return list(observed)
    ranked = sorted(range(len(observed)), key=lambda place: observed[place].loss)
    others = generator.choice(ranked[n_best:], n_others, replace=False)
    return [observed[place] for place in sorted([*ranked[:n_best], *map(int, others)])]


def normal_scores(losses: Sequence[float]) -> npt.NDArray[np.float64]:
    """Replace losses by quantiles of the normal distribution at their ranks; equal losses share their mean rank.

    A model of losses from 0.1 to 1e9 is dominated by the 1e9; a model of their ranks is not (a Gaussian copula,
    as in Salinas, Shen and Perrone 2020, arXiv 1909.13595).
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(losses) - 0.5) / len(losses)))


def levelled(losses: Sequence[float]) -> npt.NDArray[np.float64]:
    """Clip high losses, then scale all to mean 0 and variance 1 (all 0 where they are equal).

    The upper limit is the median plus twice the distance from the least loss to the median. How bad a bad trial is does
    not matter, and a model of losses from 0.1 to 1e9 would be dominated by the 1e9.
    """
    values = np.clip(losses, -_HUGE, _HUGE)
    median = np.median(values)
    cut = np.minimum(values, median + 2 * (median - values.min()))
    spread = cut.std()
    return np.asarray((cut - cut.mean()) / spread if spread > 0 else np.zeros(len(cut)))
