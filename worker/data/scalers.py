"""Scaling of numeric columns; a new scaler is one function and one row in `SCALERS`.

A scaler is fitted on a matrix (rows, columns) of finite float64 values and gives a state: arrays by name,
which go into a checkpoint as JSON. Applying it is a pure function of the state and a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]
State: TypeAlias = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Scaler:
    """How one scaler is fitted and applied.

    Attributes:
        fit: training matrix (rows, columns) to state.
        apply: matrix and state to the scaled matrix; may change the number of columns.
    """

    fit: Callable[[Matrix], State]
    apply: Callable[[Matrix, State], Matrix]


def _fit_none(_x: Matrix) -> State:
    return {}


def _apply_none(x: Matrix, _state: State) -> Matrix:
    return x


def _fit_standard(x: Matrix) -> State:
    """Mean 0 and population standard deviation 1; a constant column is only centred."""
    mean, variance = x.mean(axis=0), x.var(axis=0)
    # rounding leaves a constant column a tiny variance: the bound that scikit-learn's StandardScaler uses
    eps = np.finfo(np.float64).eps
    is_constant = variance <= len(x) * eps * variance + (len(x) * mean * eps) ** 2
    return {"center": mean, "scale": np.where(is_constant, 1.0, np.sqrt(variance))}


def _fit_minmax(x: Matrix) -> State:
    """The training part's least value becomes 0, its greatest 1; a constant column becomes 0."""
    low, width = x.min(axis=0), np.ptp(x, axis=0)
    return {"center": low, "scale": np.where(width < 10 * np.finfo(np.float64).eps, 1.0, width)}


def _apply_affine(x: Matrix, state: State) -> Matrix:
    return (x - state["center"]) / state["scale"]


SCALERS: dict[str, Scaler] = {
    "none": Scaler(_fit_none, _apply_none),
    "standard": Scaler(_fit_standard, _apply_affine),
    "minmax": Scaler(_fit_minmax, _apply_affine),
}
"""By the name in the hyperparameter `scaler`; a test holds the names equal."""
