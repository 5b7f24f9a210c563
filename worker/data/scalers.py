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

N_QUANTILES = 1000
CLIP = 3.0
"""Bound of what `robust_clip` gives, that of RealMLP."""
EIGENVALUE_FLOOR = 1e-6
"""Least variance, as a share of the greatest, that a direction is divided by; one with less is (nearly) collinear."""

_EPS = float(np.finfo(np.float64).eps)
_LEAST_SHARE = 1e-7 - np.spacing(1)  # its normal quantile, -5.199…, is where scikit-learn's QuantileTransformer clips


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


def _spread(x: Matrix) -> tuple[Matrix, Matrix, npt.NDArray[np.bool_]]:
    """Compute mean, population standard deviation, and whether it is only rounding, of each column; all (columns,)."""
    mean, variance = x.mean(axis=0), x.var(axis=0)
    # rounding leaves a constant column a tiny variance: the bound that scikit-learn's StandardScaler uses
    is_constant = variance <= len(x) * _EPS * variance + (len(x) * mean * _EPS) ** 2
    return mean, np.sqrt(variance), is_constant


def _fit_center(x: Matrix) -> State:
    """Fit x - mean."""
    return {"center": x.mean(axis=0), "scale": np.ones(x.shape[1])}


def _fit_standard(x: Matrix) -> State:
    """Fit (x - mean) / standard deviation (population); a constant column is only centred.

    LeCun et al. (1998), "Efficient BackProp", section 4.3.
    """
    mean, deviation, is_constant = _spread(x)
    return {"center": mean, "scale": np.where(is_constant, 1.0, deviation)}


def _fit_minmax(x: Matrix) -> State:
    """Fit (x - min) / (max - min): the training part lies in [0, 1]; a constant column becomes 0."""
    return {"center": x.min(axis=0), "scale": _width(np.ptp(x, axis=0))}


def _fit_robust(x: Matrix) -> State:
    """Fit (x - median) / (third quartile - first quartile), quartiles by linear interpolation.

    Scikit-learn's RobustScaler; a column whose middle half is constant is only centred. Outliers change neither.
    """
    low, high = np.percentile(x, [25, 75], axis=0)
    return {"center": np.median(x, axis=0), "scale": _width(high - low)}


def _fit_robust_clip(x: Matrix) -> State:
    """Fit (x - median) / (third quartile - first quartile), then a smooth clip; see `_apply_robust_clip`.

    A column whose quartiles are equal is divided by half of its range instead; a constant column becomes 0. Holzmüller
    et al. (2024), "Better by Default" (arXiv 2407.04491), section 3.
    """
    low, high = np.percentile(x, [25, 75], axis=0)
    width = np.where(high == low, 0.5 * np.ptp(x, axis=0), high - low)
    # the summand, that of the published code, keeps the factor of a tiny width finite
    return {"center": np.median(x, axis=0), "factor": np.where(width == 0, 0.0, 1 / (width + 1e-30))}


def _apply_robust_clip(x: Matrix, state: State) -> Matrix:
    """Scale by quartiles, then compute z / sqrt(1 + (z / 3)^2): about z near 0, and always between -3 and 3."""
    z = (x - state["center"]) * state["factor"]
    return z / np.hypot(1.0, z / CLIP)


def _width(width: Matrix) -> Matrix:
    """Replace widths that are no more than rounding by 1."""
    return np.where(width < 10 * _EPS, 1.0, width)


def _apply_affine(x: Matrix, state: State) -> Matrix:
    return (x - state["center"]) / state["scale"]


def _fit_quantile(x: Matrix) -> State:
    """Compute the values at equidistant shares of the training part, at most N_QUANTILES; (columns, quantiles)."""
    shares = np.linspace(0, 1, min(N_QUANTILES, len(x)))
    return {"quantiles": np.percentile(x, shares * 100, axis=0).T}


def _apply_quantile(x: Matrix, state: State) -> Matrix:
    """Compute normal scores: the inverse normal CDF of the training part's share below x, clipped to ±5.2.

    The empirical distribution is interpolated linearly between the quantiles; a value that several quantiles share
    gets the middle of them, the least and the greatest value the bounds. That is scikit-learn's QuantileTransformer
    with output_distribution="normal" (Bogner et al. 2012 describe the normal quantile transform), but for two
    things: bounds are compared exactly, not within 1e-7, so that a column's unit does not matter; and a constant
    column becomes 0, not -5.2.
    """
    columns = [normal_scores(values, quantiles) for values, quantiles in zip(x.T, state["quantiles"], strict=True)]
    return np.column_stack(columns) if columns else x


def normal_scores(values: Matrix, quantiles: Matrix) -> Matrix:
    """Compute the normal scores of one column, shape (rows,); see `_apply_quantile`."""
    from scipy.special import ndtri  # imported in a sixth of a second, which other scalers need not wait for

    low, high = quantiles[0], quantiles[-1]
    if low == high:
        return np.zeros_like(values)
    shares = np.linspace(0, 1, len(quantiles))
    # ascending gives the upper end of equal quantiles, descending the lower one
    upper, lower = np.interp(values, quantiles, shares), -np.interp(-values, -quantiles[::-1], -shares[::-1])
    share = np.where(values <= low, 0.0, np.where(values >= high, 1.0, (upper + lower) / 2))
    scores: Matrix = ndtri(share)
    bound = float(-ndtri(_LEAST_SHARE))
    return np.clip(scores, -bound, bound)


def _fit_whiten(x: Matrix) -> State:
    """Fit the principal components of the standardised columns, each divided by its standard deviation.

    With z the standardised columns and E diag(d) E' their covariance (divisor n - 1), the result is z E diag(d)^-1/2:
    uncorrelated columns of variance 1, greatest variance first (Kessy et al. 2018, "PCA-cor"; scikit-learn's
    StandardScaler, then PCA(whiten=True)). Standardising first keeps a column's unit from deciding what counts as
    collinear. Each component's first entry of (nearly) greatest size is made positive. A constant column adds nothing.
    """
    mean, deviation, is_constant = _spread(x)
    scale = np.where(is_constant, 1.0, deviation)
    z = np.where(is_constant, 0.0, (x - mean) / scale)
    values, vectors = np.linalg.eigh(z.T @ z / max(len(x) - 1, 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    floor = EIGENVALUE_FLOOR * values.max(initial=0.0)
    rotation = _with_fixed_signs(vectors) / np.sqrt(np.maximum(values, floor or 1.0))
    return {"center": mean, "scale": scale, "rotation": np.where(is_constant[:, None], 0.0, rotation)}


def _with_fixed_signs(vectors: Matrix) -> Matrix:
    """Give each column the sign that makes its leading entry positive; nearly equal entries count as equal."""
    if not vectors.size:
        return vectors
    sizes = np.abs(vectors)
    leading = np.argmax(sizes >= (1 - 1e-6) * sizes.max(axis=0), axis=0)
    signs: Matrix = np.sign(vectors[leading, np.arange(vectors.shape[1])])
    return vectors * signs


def _apply_whiten(x: Matrix, state: State) -> Matrix:
    n_columns = x.shape[1]
    # a matrix without columns comes back from JSON without its second axis
    return _apply_affine(x, state) @ state["rotation"].reshape(n_columns, n_columns)


SCALERS: dict[str, Scaler] = {
    "none": Scaler(_fit_none, _apply_none),
    "center": Scaler(_fit_center, _apply_affine),
    "standard": Scaler(_fit_standard, _apply_affine),
    "minmax": Scaler(_fit_minmax, _apply_affine),
    "robust": Scaler(_fit_robust, _apply_affine),
    "robust_clip": Scaler(_fit_robust_clip, _apply_robust_clip),
    "quantile": Scaler(_fit_quantile, _apply_quantile),
    "whiten": Scaler(_fit_whiten, _apply_whiten),
}
"""By the name in the hyperparameter `scaler`; a test checks that the names are equal."""
