"""The request for one batch of a learning method, as sent to the planner's child process."""

from __future__ import annotations

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.methods import Method
from foldstep.service.contract.space import Frozen, Space
from foldstep.service.contract.trial import TrialRecord


class BatchRequest(Frozen):
    """The data that a batch is proposed from.

    Attributes:
        number: number of the batch within the stage.
        size: number of trials of the batch.
        seed: the search's seed.
        first_trial: number of the stage's first trial.
        history: the trials of the earlier batches of the stage.
    """

    method: Method
    space: Space
    number: int
    size: int
    seed: int
    direction: Direction
    first_trial: int
    history: list[TrialRecord]
