"""Read the predictions that checkpoints hold, out of fold or of the test part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldstep.models.checkpoint import CheckpointDamaged, read_arrays
from foldstep.service.contract.out_of_fold import VALIDATION, FoldPredictions


def read_predictions(folder: Path, checkpoints: Sequence[str], part: str = VALIDATION) -> list[FoldPredictions]:
    """Read the predictions of a trial, one of each checkpoint; none where a file has none, or is gone or damaged.

    Args:
        folder: of the checkpoints.
        checkpoints: their names.
        part: of which rows, VALIDATION or TEST.
    """
    found = []
    for name in checkpoints:
        try:
            predictions = FoldPredictions.of(read_arrays(str(folder / name), part), part)
        except (CheckpointDamaged, ValueError):
            return []
        if predictions is None:
            return []
        found.append(predictions)
    return found
