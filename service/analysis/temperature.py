"""Fit a temperature to an ensemble's out-of-fold probabilities, and tell how well they fit the rows before and after.

The figures after it are of rows that took no part: a temperature is fitted on a part of the rows and applied to the
others, in turns, as in `greedy.held_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from foldstep.service.analysis.scores import Truth, scores
from foldstep.service.contract.calibration import Calibration, Reliability, ReliabilityBin
from foldstep.service.contract.probabilities import LEAST, tempered

_Floats = npt.NDArray[np.float64]
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures among which the least log loss is sought; where it lies at an end, the rows do not tell any."""
N_BINS = 15
"""Bins of the calibration error, as in Guo et al. (2017)."""
N_POINTS = 10
"""Bins of a reliability curve at most."""
_STEPS = 100
_PRECISION = 1e-10


class Rows(NamedTuple):
    """Probabilities of rows with their truth, which has the weights.

    Attributes:
        shares: (rows, classes).
        truth: of the rows.
    """

    shares: _Floats
    truth: Truth

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Rows:
        """Put the rows of all parts one after another."""
        truths = [part.truth for part in parts]
        is_weighted = any(truth.weight is not None for truth in truths)
        weight = np.concatenate([truth.counted for truth in truths]) if is_weighted else None
        values = np.concatenate([truth.values for truth in truths])
        return cls(np.concatenate([part.shares for part in parts]), Truth(values, weight))

    def changed(self, change: Callable[[_Floats], _Floats]) -> Rows:
        """Change the probabilities."""
        return Rows(change(self.shares), self.truth)


def temperature_of(rows: Rows) -> float | None:
    """Find the temperature with the least log loss; None where it is beyond the bounds, as where no row is wrong.

    The log loss is convex in the inverse temperature b: with z the logarithms of the probabilities and q the softmax
    of b z its slope is E[sum_c q_c z_c - z_y], and its curvature the mean variance of z under q. So steps of Newton
    find the minimum; where one leaves the bracket, the bracket is halved.
    """
    logs = np.log(np.maximum(rows.shares, LEAST))
    own, weight = logs[np.arange(len(logs)), rows.truth.values], rows.truth.counted / rows.truth.counted.sum()

    def derivatives(inverse: float) -> tuple[float, float]:
        q = np.exp(inverse * (logs - logs.max(axis=1, keepdims=True)))
        q /= q.sum(axis=1, keepdims=True)
        mean = (q * logs).sum(axis=1)
        variance = (q * np.square(logs - mean[:, None])).sum(axis=1)
        return float(weight @ (mean - own)), float(weight @ variance)

    low, high = 1 / HOTTEST, 1 / COLDEST
    if derivatives(low)[0] >= 0 or derivatives(high)[0] <= 0:
        return None
    inverse = 1.0
    for _ in range(_STEPS):
        slope, curvature = derivatives(inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else low
        following = step if low < step < high else (low * high) ** 0.5
        if abs(following - inverse) <= _PRECISION * inverse:
            break
        inverse = following
    return 1 / following


def calibration(parts: Sequence[tuple[Rows, Rows]], every: Rows) -> Calibration | None:
    """Fit a temperature; it is 1 where temperatures were no better on rows that they were not fitted on.

    Args:
        parts: rows to fit on with rows to judge on, in turns.
        every: all rows.

    Returns:
        None where there are no rows to judge on.
    """
    if not parts:
        return None
    judged = Rows.of([held_out for _, held_out in parts])
    after = Rows.of([held_out.changed(_by(temperature_of(fitted_on))) for fitted_on, held_out in parts])
    fitted, told, told_after = temperature_of(every), reliability(judged), reliability(after)
    is_better = fitted is not None and told_after.log_loss < told.log_loss
    return Calibration(
        temperature=fitted if fitted is not None and is_better else 1.0,
        fitted=fitted,
        n_rows=len(every.shares),
        before=told,
        after=told_after,
    )


def _by(temperature: float | None) -> Callable[[_Floats], _Floats]:
    return lambda shares: tempered(shares, 1.0 if temperature is None else temperature)


def reliability(rows: Rows) -> Reliability:
    """Tell how well probabilities fit the rows."""
    said = rows.shares.T[None]
    log_loss, brier = (float(scores(metric, "classification", said, rows.truth)[0]) for metric in ("log_loss", "brier"))
    return Reliability(
        log_loss=log_loss, brier=brier, calibration_error=calibration_error(rows), curve=reliability_curve(rows)
    )


def calibration_error(rows: Rows) -> float:
    """Compute the expected calibration error of the predicted class over 15 bins of equal width.

    ECE = sum over the bins of their share of the rows times |share predicted right - mean probability| (Naeini, Cooper
    and Hauskrecht 2015; Guo et al. 2017, equation 3). Rows count by their weights.
    """
    sure, right, weight = _predicted(rows)
    of_row = np.clip(np.ceil(sure * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)  # bins are open below, closed above
    gaps = np.bincount(of_row, weight * (right - sure), N_BINS)
    return float(np.abs(gaps).sum() / weight.sum())


def reliability_curve(rows: Rows) -> list[ReliabilityBin]:
    """Compare probabilities of predicted classes with how often they are right, in bins of equally many rows."""
    sure, right, weight = _predicted(rows)
    bins = np.array_split(np.argsort(sure, kind="stable"), min(N_POINTS, len(sure)))
    known = [own for own in bins if weight[own].sum() > 0]
    means = [np.average([sure[own], right[own]], axis=1, weights=weight[own]) for own in known]
    return [
        ReliabilityBin(n=len(own), probability=float(mean[0]), share=float(mean[1]))
        for own, mean in zip(known, means, strict=True)
    ]


def _predicted(rows: Rows) -> tuple[_Floats, _Floats, _Floats]:
    """List the probability of each row's predicted class, whether it is right, and the row's weight."""
    right = rows.shares.argmax(axis=1) == rows.truth.values
    return rows.shares.max(axis=1), right.astype(np.float64), rows.truth.counted
