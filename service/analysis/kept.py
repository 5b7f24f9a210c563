"""Read the out-of-fold predictions that checkpoints hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldstep.models.checkpoint import CheckpointDamaged, read_arrays
from foldstep.service.contract.out_of_fold import PREFIX, FoldPredictions


def read_predictions(folder: Path, checkpoints: Sequence[str]) -> list[FoldPredictions]:
    """Read the predictions of a trial, one of each checkpoint; none where a file has none, or is gone or damaged."""
    found = []
    for name in checkpoints:
        try:
            predictions = FoldPredictions.of(read_arrays(str(folder / name), PREFIX))
        except (CheckpointDamaged, ValueError):
            return []
        if predictions is None:
            return []
        found.append(predictions)
    return found
