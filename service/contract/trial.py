"""The history a planner sees: finished trials, and those on their way."""

from __future__ import annotations

from foldstep.service.contract.space import Frozen, Params
from foldstep.service.contract.states import TrialState


class TrialRecord(Frozen):
    """One trial of the history.

    Attributes:
        score: mean over the folds, None where it has none.
        spread: standard deviation over the folds, None for a single fold.
    """

    number: int
    stage: int
    state: TrialState
    params: Params
    score: float | None = None
    spread: float | None = None


class PlannedTrial(Frozen):
    """A trial to come.

    Attributes:
        params: the stage's epochs and the seed among them.
        continues: the trial whose training it goes on with; None where it begins anew.
    """

    number: int
    stage: int
    params: Params
    continues: int | None = None
