"""Read what checkpoints hold: predictions, out of fold or of the test part, and how they are to be corrected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldstep.models.checkpoint import CheckpointDamaged, read_arrays, read_facts, reading_facts
from foldstep.service.contract.out_of_fold import VALIDATION, FoldPredictions
from foldstep.service.contract.probabilities import Shares, unweighted


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


ClassWeights = npt.NDArray[np.float64]


def read_class_weights(folder: Path, checkpoints: Sequence[str]) -> list[ClassWeights | None] | None:
    """Read the weights that classes had in the training of each network, None where they had none.

    Returns:
        None where one is not told, as by a checkpoint of an earlier version, or is gone.
    """
    found: list[ClassWeights | None] = []
    for name in checkpoints:
        try:
            facts = read_facts(str(folder / name))
            with reading_facts():
                said = facts["target"].get("class_weights")
                is_told = "class_weights" in facts["target"] or facts["params"].get("class_weight", "none") == "none"
                found.append(None if said is None else np.array(said, dtype=np.float64))
        except CheckpointDamaged:
            return None
        if not is_told:
            return None
    return found


def corrected(said: npt.NDArray[np.floating], weights: ClassWeights | None) -> Shares:
    """Undo class weights in the probabilities of a network, (classes, rows); the result is (rows, classes)."""
    shares = said.T.astype(np.float64)
    return shares if weights is None else unweighted(shares, weights)
