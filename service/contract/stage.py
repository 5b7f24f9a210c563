"""One stage of a search as planned, in the form in which it is stored."""

from __future__ import annotations

from pydantic import Field

from foldstep.service.contract.space import Frozen, Params, Space


class StagePlan(Frozen):
    """What the trials of one stage are drawn from.

    Attributes:
        index: of the stage, from 0.
        space: the distributions of this stage.
        trials: how many it has; None for no limit.
        epochs: of each of its trials; None where every trial has its own.
        extensions: how often each parameter's range has been extended so far.
        first_trial: number of its first trial; numbers run on from stage to stage.
        survivors: the best configurations of the stage before, which this one trains first, with its own epochs.
        continues: for each survivor, the number of the trial that it continues; empty where all of them begin anew,
            and None for one that does, as its trial did not train all of its stage's epochs.
        batch: how many trials are proposed from the same history; None where results change nothing.
    """

    index: int
    space: Space
    trials: int | None
    epochs: int | None = None
    extensions: dict[str, int] = Field(default_factory=dict)
    first_trial: int = 0
    survivors: list[Params] = Field(default_factory=list)
    continues: list[int | None] = Field(default_factory=list)
    batch: int | None = None
