"""Turn the validation scores of a trial's folds into their scores: what is averaged, and at which epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from foldstep.models.catalog.metrics import Direction

AVERAGED = 10
"""A score is averaged over this part of the epochs so far: the last tenth of them."""


class History(Protocol):
    """What is read of a fold's progress."""

    @property
    def averages(self) -> Sequence[float]:
        """The average at each epoch."""

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, of the best average; 0 if there is none."""

    @property
    def counts_from(self) -> int:
        """Number of first epochs that do not count once there are more."""


def averaging_width(epoch: int) -> int:
    """Compute the number of epochs, up to `epoch`, whose scores are averaged."""
    return max(1, epoch // AVERAGED)


def average(scores: Sequence[float | None]) -> float:
    """Average the last scores, of which `averaging_width` are finite: the same for any order of the same numbers."""
    last = [score for score in scores[-averaging_width(len(scores)) :] if score is not None]
    least = min(last)  # of equal scores it is exactly the mean, so that no later epoch is better by its rounding
    return least + math.fsum(score - least for score in last) / len(last)


def scored_epochs(folds: Sequence[History], direction: Direction) -> list[int]:
    """Find the epoch, from 1, whose average is the score of each fold; all have a best epoch.

    It is one for all folds, where the mean of their averages is best: the best of each fold alone would flatter noisy
    curves. A fold that has ended before others counts with its best epoch from then on, as its network is that one.
    """
    if not folds:
        return []
    n_epochs = max(len(fold.averages) for fold in folds)
    means = np.array([_filled(fold, n_epochs) for fold in folds]).mean(axis=0)
    first = min(fold.counts_from for fold in folds)
    first = first if n_epochs > first else 0
    own = means[first:]
    best = first + int(own.argmin() if direction is Direction.MINIMIZE else own.argmax()) + 1
    return [best if best <= len(fold.averages) else fold.best_epoch for fold in folds]


def _filled(fold: History, n_epochs: int) -> list[float]:
    """List a fold's averages, filled up with its best one."""
    known = list(fold.averages)
    return known + [known[fold.best_epoch - 1]] * (n_epochs - len(known))
