"""A search's trials as a table of numbers: unit coordinates of what was searched, and losses that compare."""

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
"""What a search may draw without wanting to know about it."""


@dataclass(frozen=True)
class TrialTable:
    """Trials of one stage.

    Attributes:
        space: the stage's.
        names: what was searched, a column each.
        places: (trials, names), see `service.planner.vectors.rows`.
        losses: (trials,), less is better; bounded above, so that a few disasters do not outweigh everything else.
    """

    space: Space
    names: tuple[str, ...]
    places: Numbers
    losses: Numbers


def table_of(space: Space, evidence: Evidence, direction: Direction) -> TrialTable:
    """Write what a stage says as a table.

    Args:
        space: the stage's.
        evidence: of the stage.
        direction: whether more or less is better.
    """
    trials = judge(evidence, direction)
    names = tuple(n for n in space.searched() if n not in NO_SUBJECT)
    places = rows(space, names, [_within(space, names, t.params) for t in trials])
    return TrialTable(space, names, places, bounded(np.array([t.loss for t in trials])))


def _within(space: Space, names: Sequence[str], params: Params) -> Params:
    """Leave out values that the stage's space does not have."""
    return {n: params[n] for n in names if n in params and space.parameters[n].contains(params[n])}


def bounded(losses: Numbers) -> Numbers:
    """Losses cut off above the upper quartile by 1.5 times the quartiles' distance (Tukey 1977); infinite ones, too."""
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        return np.zeros_like(losses)
    low, high = np.quantile(finite, [0.25, 0.75])
    below: Numbers = np.minimum(losses, high + 1.5 * (high - low))
    return below


def subject_stage(stages: Sequence[Sequence[TrialRecord]]) -> int:
    """The stage to look at: the last with enough finished trials, for it trained the longest; else the fullest one."""
    sizes = [len(Evidence.of(records).trials) for records in stages]
    enough = [i for i, size in enumerate(sizes) if size >= ENOUGH_TRIALS]
    return enough[-1] if enough else int(np.argmax(sizes))
