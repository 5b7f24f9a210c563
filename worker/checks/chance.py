"""Reference values of a loss: of a fresh network (chance), of the best constant answer, and the least possible one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Targets: TypeAlias = npt.NDArray[Any]


def chance_loss(loss: str, y: Targets, n_classes: int) -> float | None:
    """Compute the loss of a fresh network: log of the class count, or the loss of the answer 0 (the target's mean).

    A fresh network does not know how frequent the classes are, so its loss is not their entropy.

    Args:
        loss: name of the loss.
        y: (rows,) class indices, or standardised targets.
        n_classes: of a classification.

    Returns:
        None for a loss whose chance level says nothing, as poisson's.
    """
    if loss == "cross_entropy":
        return math.log(n_classes)
    return _around(loss, y, 0.0)


def constant_loss(loss: str, y: Targets) -> float | None:
    """Compute the least loss of one answer for all rows: entropy, variance or the like; None as in `chance_loss`."""
    if loss == "cross_entropy":
        shares = np.unique(y, return_counts=True)[1] / len(y)
        return float(-(shares * np.log(shares)).sum())
    return _around(loss, y, float(np.median(y) if loss == "mae" else y.mean()))


def floor_loss(loss: str, x: Targets, y: Targets) -> float | None:
    """Compute the least loss that any network can reach: rows with equal inputs get the same answer.

    Args:
        loss: name of the loss.
        x: (rows, inputs).
        y: (rows,).
    """
    group = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    parts = [(y[group == g], (group == g).mean()) for g in np.unique(group)]
    losses = [constant_loss(loss, part) for part, _ in parts]
    known = [value for value in losses if value is not None]
    return sum(v * w for v, (_, w) in zip(known, parts, strict=True)) if len(known) == len(parts) else None


def _huber(error: Targets) -> Targets:
    """Compute the Huber loss of an error's size, with its usual bound of 1 (Huber 1964)."""
    return np.where(error <= 1, error**2 / 2, error - 0.5)


_LOSS_OF_ERROR: Mapping[str, Callable[[Targets], Targets] | None] = {
    "mse": np.square,
    "mae": np.abs,
    "huber": _huber,
    "poisson": None,  # the mean of the counts is not among the outputs that can be told beforehand
}
"""The loss of a row by the size of its error; None where the chance level says nothing."""


def _around(loss: str, y: Targets, answer: float) -> float | None:
    """Compute the mean loss of one answer for all rows; None where the chance level says nothing."""
    loss_of = _LOSS_OF_ERROR[loss]
    return None if loss_of is None else float(loss_of(np.abs(y.astype(np.float64) - answer)).mean())
