"""A search's trials as a table of numbers: coordinates of the searched hyperparameters, and losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.space import Params, Space
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import Evidence, judge
from foldstep.service.planner.vectors import rows

Numbers = npt.NDArray[np.float64]

ENOUGH_TRIALS = 20
NO_SUBJECT = frozenset({"seed", "epochs"})
"""Hyperparameters that a search may draw but that are left out of the analysis."""


@dataclass(frozen=True)
class TrialTable:
    """Trials of one stage.

    Attributes:
        space: the stage's space.
        names: the searched hyperparameters, one for each column of `places`.
        places: shape (trials, names), coordinates, see `service.planner.vectors.rows`.
        losses: shape (trials,), lower is better; bounded above, so that a few very bad trials do not dominate.
    """

    space: Space
    names: tuple[str, ...]
    places: Numbers
    losses: Numbers


def table_of(space: Space, evidence: Evidence, direction: Direction) -> TrialTable:
    """Build the table of a stage's trials, best first.

    Args:
        space: the stage's space.
        evidence: of the stage.
        direction: whether higher or lower scores are better.
    """
    trials = judge(evidence, direction)
    names = tuple(n for n in space.searched() if n not in NO_SUBJECT)
    places = rows(space, names, [within(space, names, t.params) for t in trials])
    return TrialTable(space, names, places, bounded(np.array([t.loss for t in trials])))


def within(space: Space, names: Sequence[str], params: Params) -> Params:
    """Select the named values that the stage's space contains."""
    return {n: params[n] for n in names if n in params and space.parameters[n].contains(params[n])}


def bounded(losses: Numbers) -> Numbers:
    """Clip losses, infinite ones too, at 1.5 times the interquartile range above the upper quartile (Tukey 1977)."""
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        return np.zeros_like(losses)
    low, high = np.quantile(finite, [0.25, 0.75])
    below: Numbers = np.minimum(losses, high + 1.5 * (high - low))
    return below


def subject_stage(stages: Sequence[Sequence[TrialRecord]]) -> int:
    """Choose the stage to analyse: the last with enough trials, which trained the longest; else that with the most."""
    sizes = [len(Evidence.of(records).trials) for records in stages]
    enough = [i for i, size in enumerate(sizes) if size >= ENOUGH_TRIALS]
    return enough[-1] if enough else int(np.argmax(sizes))
