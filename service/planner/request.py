"""What one batch of a learning method is proposed from, in the form in which it goes to the planner's process."""

from __future__ import annotations

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.methods import Method
from foldstep.service.contract.space import Frozen, Space
from foldstep.service.contract.trial import TrialRecord


class BatchRequest(Frozen):
    """What a batch is proposed from.

    Attributes:
        number: of the batch within the stage.
        size: how many trials it has.
        seed: the search's.
        first_trial: number of the stage's first trial.
        history: the trials of the batches before, all of them finished.
    """

    method: Method
    space: Space
    number: int
    size: int
    seed: int
    direction: Direction
    first_trial: int
    history: list[TrialRecord]
