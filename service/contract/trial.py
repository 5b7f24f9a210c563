"""The trials of a planner's history, and the trials that it proposes."""

from __future__ import annotations

from foldstep.service.contract.space import Frozen, Params
from foldstep.service.contract.states import TrialState


class TrialRecord(Frozen):
    """One trial of the history.

    Attributes:
        score: mean over the folds; None without a score.
        spread: standard deviation over the folds, None for a single fold.
    """

    number: int
    stage: int
    state: TrialState
    params: Params
    score: float | None = None
    spread: float | None = None


class PlannedTrial(Frozen):
    """A proposed trial.

    Attributes:
        params: hyperparameters, including the stage's epochs and the seed.
        continues: the trial whose training it continues; None where it starts from the beginning.
    """

    number: int
    stage: int
    params: Params
    continues: int | None = None
