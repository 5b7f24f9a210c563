"""The names of checkpoint files: the score comes first and is zero-padded, so that a sorted folder is a ranking."""

from __future__ import annotations

import re
from typing import NamedTuple

from foldstep.models.catalog.metrics import METRICS

_NAME = re.compile(
    r"val_(?P<metric>[a-z0-9_]+)-(?P<score>-?\d+\.\d{5})"
    r"_trial-(?P<trial>\d{6,9})_fold-(?P<fold>\d{1,6})_epoch-(?P<epoch>\d{4,9})\.safetensors"
)


class CheckpointName(NamedTuple):
    """The parts of a checkpoint's name; `score` is rounded to 5 decimals, the file's metadata has it in full."""

    metric: str
    score: float
    trial: int
    fold: int
    epoch: int

    def __str__(self) -> str:
        # scores that are at most 1 need one digit before the point; others are padded to sort up to ten million
        width = 7 if METRICS[self.metric].is_at_most_one else 14
        return (
            f"val_{self.metric}-{self.score:0{width}.5f}"
            f"_trial-{self.trial:06d}_fold-{self.fold}_epoch-{self.epoch:04d}.safetensors"
        )

    @classmethod
    def parse(cls, name: str) -> CheckpointName | None:
        """Parse a file name; None where it is not the name of a checkpoint."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(match["metric"], float(match["score"]), int(match["trial"]), int(match["fold"]), int(match["epoch"]))
