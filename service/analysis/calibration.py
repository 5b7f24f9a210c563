"""Find intervals around predictions from the errors on out-of-fold rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from foldstep.service.analysis.scores import Truth

_Floats = npt.NDArray[np.float64]
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Shares of rows that intervals are to cover."""


def half_widths(said: _Floats, truth: Truth) -> dict[float, float]:
    """Find half the widths of intervals around predictions that cover shares of the rows.

    These are quantiles of the distances |truth - prediction| out of fold, the ceil(share (n + 1))-th of n: the
    jackknife over folds (cross-conformal prediction; Vovk 2015, Barber et al. 2021). Levels that so few rows cannot
    tell are left out.

    Args:
        said: predictions out of fold, (rows,).
        truth: of the rows.
    """
    distances = np.sort(np.abs(said - truth.values))
    n = len(distances)
    ranks = {level: int(np.ceil(level * (n + 1))) for level in LEVELS}
    return {level: float(distances[rank - 1]) for level, rank in ranks.items() if rank <= n}


def joined_rows(parts: Sequence[tuple[_Floats, Truth]]) -> tuple[_Floats, Truth]:
    """Put the rows of all folds one after another: predictions (outputs, rows) with their truth."""
    weights = [truth.counted for _, truth in parts]
    is_weighted = any(truth.weight is not None for _, truth in parts)
    truth = Truth(
        np.concatenate([truth.values for _, truth in parts]),
        np.concatenate(weights) if is_weighted else None,
        parts[0][1].levels,
    )
    return np.concatenate([said for said, _ in parts], axis=-1), truth
