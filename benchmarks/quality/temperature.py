"""Calibration of probabilities by a temperature, which is measured and not shipped: see docs/benchmarks.md."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from foldstep.service.analysis.scores import Truth, scores

_Floats = npt.NDArray[np.float64]
LEAST, MOST = 0.1, 10.0
"""Bounds of a temperature: beyond them probabilities say next to nothing."""
N_BINS = 15
"""Bins of the calibration error, as in Guo et al. (2017)."""


def tempered(said: _Floats, temperature: float) -> _Floats:
    """Raise probabilities to the power 1 / temperature and scale them to add up to 1; (..., classes, rows).

    Above 1 they come nearer to equal, below 1 farther apart; their order stays (Guo et al. 2017, "On calibration of
    modern neural networks", there of logits: it is the same for one network).
    """
    logs = np.log(np.maximum(said, np.finfo(np.float64).tiny)) / temperature
    powers = np.exp(logs - logs.max(axis=-2, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-2, keepdims=True))


def temperature_of(said: _Floats, truth: Truth) -> float:
    """Find the temperature with the least log loss.

    Args:
        said: probabilities, (classes, rows).
        truth: of the rows.
    """

    def loss(log_temperature: float) -> float:
        return float(scores("log_loss", "classification", tempered(said, np.exp(log_temperature))[None], truth)[0])

    found = minimize_scalar(loss, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def calibration_error(said: _Floats, truth: Truth) -> float:
    """Compute the expected calibration error of the predicted class, over bins of equally many rows.

    That is the mean distance between how sure predictions are and how often they are right (Naeini et al. 2015; bins of
    equally many rows as in Nguyen and O'Connor 2015).

    Args:
        said: probabilities, (classes, rows).
        truth: of the rows.
    """
    sure, right = said.max(axis=0), said.argmax(axis=0) == truth.values
    weight = truth.counted
    error = 0.0
    for rows in np.array_split(np.argsort(sure, kind="stable"), min(N_BINS, len(sure))):
        error += abs(float((weight[rows] * (sure[rows] - right[rows])).sum()))
    return error / float(weight.sum())
