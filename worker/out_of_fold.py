"""Predict the validation rows of a fold, or the test rows, with its best network, for its checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from foldstep.models.fnn import forward
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.weights import Weights
from foldstep.service.contract.out_of_fold import FoldPredictions
from foldstep.worker.predictor import ROWS_AT_ONCE, answers

if TYPE_CHECKING:
    from foldstep.worker.data.inputs import FoldData  # brings scikit-learn, which prediction does not need


def predicted(hp: Hyperparameters, weights: Weights, data: FoldData, rows: npt.NDArray[np.int64]) -> FoldPredictions:
    """Predict a fold's validation rows, as `foldstep predict` does: by NumPy, whatever backend has trained.

    So the predictions are the same bits however the network was packed.

    Args:
        hp: hyperparameters of the network.
        weights: of the network.
        data: the fold; for the test rows these stand in the place of its validation rows.
        rows: the numbers of its validation rows in the data.
    """
    found = [_part(hp, weights, data, slice(i, i + ROWS_AT_ONCE)) for i in range(0, len(rows), ROWS_AT_ONCE)]
    predictions = np.concatenate(found) if found else np.empty((0, data.n_outputs), np.float32)
    return FoldPredictions(rows, predictions, data.y_valid, data.weight_valid)


def _part(hp: Hyperparameters, weights: Weights, data: FoldData, part: slice) -> npt.NDArray[np.float32]:
    exposure = None if data.exposure_valid is None else data.exposure_valid[part]
    said = answers(forward(hp, weights, data.x_valid[part], data.stage(hp)), data.target, exposure)
    with np.errstate(over="ignore"):  # what float32 has no room for is infinite, and no good answer either way
        return said.reshape(len(said), -1).astype(np.float32)
