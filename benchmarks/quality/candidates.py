"""Ways to make one score, and one epoch for each fold, of a trial's curves over epochs.

Every way is a function of the losses of validation, (folds, epochs), of which less is better: the metric's, by
`Direction.loss_of`, and those that training minimises. It returns the epoch whose weights each fold keeps, and the loss
of each fold whose mean is the trial's score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


class Chosen(NamedTuple):
    """What a way chose of one trial.

    Attributes:
        epochs: (folds,) index of the epoch whose weights each fold keeps.
        losses: (folds,) whose mean is the trial's score.
    """

    epochs: npt.NDArray[np.int64]
    losses: Floats


Way: TypeAlias = Callable[[Floats, Floats], Chosen]


def at(curves: Floats, epochs: npt.NDArray[np.int64]) -> Chosen:
    """Take each fold's curve at its epoch."""
    return Chosen(epochs, curves[np.arange(len(curves)), epochs])


def own(metric: Floats, _: Floats) -> Chosen:
    """Each fold's own best epoch, with its value there."""
    return at(metric, metric.argmin(axis=1))


def last(metric: Floats, _: Floats) -> Chosen:
    """The last epoch."""
    return at(metric, np.full(len(metric), metric.shape[1] - 1))


def common(metric: Floats, _: Floats) -> Chosen:
    """The best epoch of the mean curve, one for all folds."""
    return at(metric, np.full(len(metric), metric.mean(axis=0).argmin()))


def others(metric: Floats, _: Floats) -> Chosen:
    """For each fold, the best epoch of the other folds' mean curve."""
    return at(metric, _of_the_others(metric))


def _of_the_others(metric: Floats) -> npt.NDArray[np.int64]:
    rest: Floats = metric.sum(axis=0) - metric
    epochs: npt.NDArray[np.int64] = np.argmin(rest, axis=1)
    return epochs


def own_weights_others_score(metric: Floats, _: Floats) -> Chosen:
    """The weights of each fold's own best epoch, and its value at the best epoch of the other folds' mean curve."""
    return Chosen(metric.argmin(axis=1), others(metric, metric).losses)


def by_loss(metric: Floats, trained: Floats) -> Chosen:
    """Each fold's epoch of the least validation loss, with the metric's value there."""
    return at(metric, trained.argmin(axis=1))


def averaged(part: int) -> Way:
    """Make a way: each fold's own best epoch of its averaged curve, with the average there."""

    def way(metric: Floats, _: Floats) -> Chosen:
        return own(trailing(metric, part), metric)

    return way


def averaged_common(part: int) -> Way:
    """Make a way: weights as `averaged`; the averages at the best epoch of their mean over the folds."""

    def way(metric: Floats, _: Floats) -> Chosen:
        means = trailing(metric, part)
        return Chosen(means.argmin(axis=1), common(means, metric).losses)

    return way


def averaged_others(part: int) -> Way:
    """Make a way: weights as `averaged`; the average at the epoch that the other folds' averages choose."""

    def way(metric: Floats, _: Floats) -> Chosen:
        means = trailing(metric, part)
        return Chosen(means.argmin(axis=1), others(means, metric).losses)

    return way


def all_common(part: int) -> Way:
    """Make a way: weights and averages at the best epoch of the mean of the averaged curves, one for all folds."""

    def way(metric: Floats, _: Floats) -> Chosen:
        return common(trailing(metric, part), metric)

    return way


def trailing(curves: Floats, part: int) -> Floats:
    """Average each curve over the last epochs up to each epoch: a part (10: a tenth) of those so far, at least one."""
    sums = np.cumsum(np.pad(curves, ((0, 0), (1, 0))), axis=1)
    upto = np.arange(1, curves.shape[1] + 1)
    widths = np.maximum(1, upto // part)
    means: Floats = (sums[:, upto] - sums[:, upto - widths]) / widths
    return means


WAYS: dict[str, Way] = {
    "own best epoch": own,
    "common epoch": common,
    "epoch of the other folds": others,
    "own weights, score at the common epoch": lambda m, t: Chosen(own(m, t).epochs, common(m, t).losses),
    "own weights, score at the others' epoch": lambda m, t: Chosen(own(m, t).epochs, others(m, t).losses),
    "averaged over 10 %, own": averaged(10),
    "averaged over 20 %, own": averaged(5),
    "averaged over 10 %, score at the common epoch": averaged_common(10),
    "averaged over 20 %, score at the common epoch": averaged_common(5),
    "averaged over 10 %, score at the others' epoch": averaged_others(10),
    "averaged over 20 %, score at the others' epoch": averaged_others(5),
    "averaged over 10 %, all at the common epoch": all_common(10),
    "averaged over 20 %, all at the common epoch": all_common(5),
    "least validation loss": by_loss,
    "last epoch": last,
}
