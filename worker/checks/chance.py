"""Reference values of a loss: of a fresh network (chance), of the best constant answer, and the least possible one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Targets: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class _Levels:
    """The levels of one loss; a level is None where nothing can be told of the outputs beforehand.

    Of several targets or labels, (rows, targets), it is the mean of their levels.

    Attributes:
        chance: targets (rows,), number of classes and number of the loss to the loss of a fresh network.
        constant: targets (rows,) and number of the loss to the least loss of one answer for all rows.
    """

    chance: Callable[[Targets, int, float], float | None]
    constant: Callable[[Targets, float], float | None]


def chance_loss(loss: str, y: Targets, n_classes: int, number: float = 1.0) -> float | None:
    """Compute the loss of a fresh network: log of the class count, or the loss of the answer 0 (the target's mean).

    A fresh network does not know how frequent the classes are, so its loss is not their entropy.

    Args:
        loss: name of the loss.
        y: (rows,) class indices, or standardised targets.
        n_classes: of a classification.
        number: `Hyperparameters.loss_number`.

    Returns:
        None for a loss whose chance level says nothing, as poisson's.
    """
    return _LEVELS[loss].chance(y, n_classes, number)


def constant_loss(loss: str, y: Targets, number: float = 1.0) -> float | None:
    """Compute the least loss of one answer for all rows: entropy, variance or the like; None as in `chance_loss`."""
    return _LEVELS[loss].constant(y, number)


def floor_loss(loss: str, x: Targets, y: Targets, number: float = 1.0) -> float | None:
    """Compute the least loss that any network can reach: rows with equal inputs get the same answer.

    Args:
        loss: name of the loss.
        x: (rows, inputs).
        y: (rows,).
        number: `Hyperparameters.loss_number`.
    """
    group = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    parts = [(y[group == g], (group == g).mean()) for g in np.unique(group)]
    losses = [constant_loss(loss, part, number) for part, _ in parts]
    known = [value for value in losses if value is not None]
    return sum(v * w for v, (_, w) in zip(known, parts, strict=True)) if len(known) == len(parts) else None


def _entropy(y: Targets) -> float:
    shares = np.unique(y, return_counts=True)[1] / len(y)
    return float(-(shares * np.log(shares)).sum())


def _shares(y: Targets) -> npt.NDArray[np.float64]:
    """Compute the share of each class, from class 0 to the greatest that there is, (classes,)."""
    return np.asarray(np.bincount(y) / len(y))


def _hinge_constant(y: Targets, _: float) -> float:
    """Find the least hinge loss of one vector of scores, a linear program: each pair of classes has a slack."""
    from scipy.optimize import linprog  # imported in half a second, which other losses need not wait for

    present = _shares(y)[_shares(y) > 0]
    n = len(present)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    if not pairs:
        return 0.0
    above = np.zeros((len(pairs), n + len(pairs)))  # score_j - score_i - slack <= -1
    for row, (i, j) in enumerate(pairs):
        above[row, [i, j, n + row]] = -1, 1, -1
    costs = np.concatenate([np.zeros(n), [present[i] for i, _ in pairs]])
    bounds = [(None, None)] * n + [(0, None)] * len(pairs)
    return float(linprog(costs, A_ub=above, b_ub=-np.ones(len(pairs)), bounds=bounds).fun)


def _focal(p: Targets, gamma: float) -> Targets:
    return np.asarray(-((1 - p) ** gamma) * np.log(p))


def _focal_constant(y: Targets, gamma: float) -> float:
    """Find the least focal loss of one vector of probabilities, from the classes' shares as the start."""
    from scipy.optimize import minimize  # as above

    shares = _shares(y)[_shares(y) > 0]
    if len(shares) == 1:
        return 0.0

    def loss(logits: npt.NDArray[np.float64]) -> float:
        raised = np.exp(logits - logits.max())
        return float((shares * _focal(np.clip(raised / raised.sum(), 1e-12, 1 - 1e-12), gamma)).sum())

    return float(minimize(loss, np.log(shares), method="BFGS").fun)


def _ordinal_chance(y: Targets, n_classes: int, _: float) -> float:
    """Average the log losses of the borders, where a fresh network's shares are equal."""
    borders = np.arange(1, n_classes)
    is_below = np.asarray(y)[:, None] < borders
    return float(-np.log(np.where(is_below, borders, n_classes - borders) / n_classes).sum(axis=1).mean())


def _ordinal_constant(y: Targets, _: float) -> float:
    """Add the entropies of lying below each border; the shares of the classes are the best answer."""
    below = _shares(y).cumsum()[:-1]
    sides = np.clip(np.array([below, 1 - below]), 1e-300, 1)
    return float(-(sides * np.log(sides)).sum())


def _huber(error: Targets, bend: float) -> Targets:
    """Compute the Huber loss of an error's size (Huber 1964)."""
    return np.where(error <= bend, error**2 / 2, bend * (error - bend / 2))


def _huber_answer(y: Targets, bend: float) -> Any:
    """Find the answer with the least Huber loss, which is convex and has no closed form; of each of several targets."""
    if y.ndim > 1:
        return np.array([_huber_answer(column, bend) for column in y.T])
    from scipy.optimize import minimize_scalar  # imported in half a second, which other losses need not wait for

    if np.ptp(y) == 0:
        return float(y[0])
    found = minimize_scalar(lambda answer: _huber(np.abs(y - answer), bend).mean(), bounds=(y.min(), y.max()))
    return float(found.x)


def _of_errors(of_error: Callable[[Targets, float], Targets], best: Callable[[Targets, float], Any]) -> _Levels:
    """Make the levels of a mean over the errors' sizes, of which `best` finds the best constant answer."""

    def level(y: Targets, answer: Any, number: float) -> float:
        return float(of_error(np.abs(y.astype(np.float64) - answer), number).mean())

    return _Levels(
        lambda y, _, number: level(y, 0.0, number),
        lambda y, number: level(y, best(y.astype(np.float64), number), number),
    )


def _label_entropy(y: Targets, _: float) -> float:
    """Average the entropies of several labels, (rows, labels)."""
    return float(np.mean([_entropy(label) for label in np.asarray(y).T]))


def constant_pinball(y: Targets, levels: Sequence[float]) -> float:
    """Compute the least mean pinball loss of one vector of quantiles for all rows."""
    level = np.array(levels)[:, None]
    error = y - np.quantile(y, levels, method="inverted_cdf")[:, None]
    return float(np.maximum(level * error, (level - 1) * error).mean())


_UNKNOWN = _Levels(lambda _y, _n, _number: None, lambda _y, _number: None)
"""The mean of counts or amounts is not among the outputs that can be told beforehand; levels are the search's."""
_LEVELS: Mapping[str, _Levels] = {
    "cross_entropy": _Levels(lambda _, n_classes, _number: math.log(n_classes), lambda y, _: _entropy(y)),
    "hinge": _Levels(lambda _, n_classes, _number: float(n_classes - 1), _hinge_constant),
    "focal": _Levels(lambda _, n, gamma: float(_focal(np.array(1 / n), gamma)), _focal_constant),
    "ordinal": _Levels(_ordinal_chance, _ordinal_constant),
    "mse": _of_errors(lambda error, _: np.square(error), lambda y, _: np.mean(y, axis=0)),
    "mae": _of_errors(lambda error, _: error, lambda y, _: np.median(y, axis=0)),
    "huber": _of_errors(_huber, _huber_answer),
    "quantile": _UNKNOWN,
    "poisson": _UNKNOWN,
    "gamma": _UNKNOWN,
    "tweedie": _UNKNOWN,
    "label_cross_entropy": _Levels(lambda _, _n, _number: math.log(2), _label_entropy),
}
"""By the value of the hyperparameter `loss`; a test holds the names to the table's."""
