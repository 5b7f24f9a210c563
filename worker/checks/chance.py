"""Reference values of a loss: of a fresh network (chance), of the best constant answer, and the least possible one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

Targets: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class _Levels:
    """The levels of one loss; a level is None where nothing can be told of the outputs beforehand.

    Attributes:
        chance: targets (rows,) and number of classes to the loss of a fresh network.
        constant: targets (rows,) to the least loss of one answer for all rows.
    """

    chance: Callable[[Targets, int], float | None]
    constant: Callable[[Targets], float | None]


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
    return _LEVELS[loss].chance(y, n_classes)


def constant_loss(loss: str, y: Targets) -> float | None:
    """Compute the least loss of one answer for all rows: entropy, variance or the like; None as in `chance_loss`."""
    return _LEVELS[loss].constant(y)


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


def _entropy(y: Targets) -> float:
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return float(-(shares * np.log(shares)).sum())


def _huber(error: Targets) -> Targets:
    """Compute the Huber loss of an error's size, with its usual bound of 1 (Huber 1964)."""
    return np.where(error <= 1, error**2 / 2, error - 0.5)


def _huber_answer(y: Targets) -> float:
    """Find the answer with the least Huber loss, which is convex and has no closed form."""
    if np.ptp(y) == 0:
        return float(y[0])
    found = minimize_scalar(lambda answer: _huber(np.abs(y - answer)).mean(), bounds=(y.min(), y.max()))
    return float(found.x)


def _of_errors(of_error: Callable[[Targets], Targets], best: Callable[[Targets], Any]) -> _Levels:
    """Make the levels of a mean over the errors' sizes, of which `best` finds the best constant answer."""

    def level(y: Targets, answer: float) -> float:
        return float(of_error(np.abs(y.astype(np.float64) - answer)).mean())

    return _Levels(lambda y, _: level(y, 0.0), lambda y: level(y, float(best(y.astype(np.float64)))))


_LEVELS: Mapping[str, _Levels] = {
    "cross_entropy": _Levels(lambda _, n_classes: math.log(n_classes), _entropy),
    "mse": _of_errors(np.square, np.mean),
    "mae": _of_errors(np.abs, np.median),
    "huber": _of_errors(_huber, _huber_answer),
    # the mean of the counts is not among the outputs that can be told beforehand
    "poisson": _Levels(lambda _y, _n: None, lambda _y: None),
}
"""By the value of the hyperparameter `loss`; a test holds the names to the table's."""
