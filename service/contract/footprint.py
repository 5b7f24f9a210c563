"""What the deletion of a search removes."""

from __future__ import annotations

from foldstep.service.contract.space import Frozen


class Footprint(Frozen):
    """What a search consists of.

    Attributes:
        trials: number of its trials.
        files: number of its checkpoints and snapshots.
        bytes: size of those files.
    """

    trials: int
    files: int
    bytes: int
