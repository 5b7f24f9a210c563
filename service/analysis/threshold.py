"""Choose the probability of the second of two classes above which it is predicted, on out-of-fold rows.

The score that is told is of rows that took no part: thresholds are chosen on a part of the rows and applied to the
others, in turns. For true probabilities the threshold of the least cost is false_positive / (false_positive +
false_negative) (Elkan 2001, theorem 1); here it is sought on the rows, as for a metric, which need not trust them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.metrics import METRICS
from foldstep.service.analysis.scores import Answers, Truth, scores
from foldstep.service.analysis.temperature import Rows
from foldstep.service.contract.calibration import Threshold
from foldstep.service.contract.final_spec import CostSpec, ThresholdSpec
from foldstep.service.contract.probabilities import is_second

N_CANDIDATES = 200
"""Thresholds that are compared at most, between equally many rows."""
_AT_ONCE = 25
_Floats: TypeAlias = npt.NDArray[np.float64]
_Losses: TypeAlias = Callable[[Answers, Truth], _Floats]


class Part(NamedTuple):
    """Rows to choose on and rows to judge on.

    Attributes:
        chosen_on: their calibrated probabilities.
        judged_on: the same of the others.
        default: the numbers of the classes that are predicted of the latter without a threshold, (rows,).
    """

    chosen_on: Rows
    judged_on: Rows
    default: npt.NDArray[np.int64]


def threshold(wanted: ThresholdSpec, parts: Sequence[Part], every: Rows) -> Threshold | None:
    """Choose a threshold; it is used where thresholds were better on rows that they were not chosen on.

    Returns:
        None where there are no rows to judge on.
    """
    if not parts:
        return None
    losses = losses_by(wanted)
    truth = Rows.of([part.judged_on for part in parts]).truth
    labels = [is_second(part.judged_on.shares, best(losses, part.chosen_on)) for part in parts]
    said = np.stack([np.concatenate(labels), np.concatenate([part.default for part in parts])])
    loss, default = losses(one_hot(said), truth).tolist()
    chosen = best(losses, every)
    score_of = _score_of(wanted)
    return Threshold(
        threshold=chosen if loss < default else None,
        chosen=chosen,
        by=wanted.by,
        score=score_of(loss),
        default_score=score_of(default),
    )


def best(losses: _Losses, rows: Rows) -> float:
    """Find the threshold with the least loss; of equal ones the nearest to 1/2."""
    tried = candidates(rows.shares[:, 1])
    found = [losses(one_hot(rows.shares[:, 1] > some[:, None]), rows.truth) for some in _pieces(tried)]
    loss = np.concatenate(found)
    equal = tried[loss <= np.nanmin(loss)]
    return float(equal[np.abs(equal - 0.5).argmin()])


def candidates(shares: _Floats) -> _Floats:
    """List the thresholds to compare: midpoints between different probabilities, and 1/2."""
    different = np.unique(shares)
    between = (different[1:] + different[:-1]) / 2
    taken = np.linspace(0, len(between) - 1, min(N_CANDIDATES, len(between))).astype(np.int64)
    return np.unique(np.append(between[taken], 0.5))


def one_hot(seconds: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Answers:
    """Write classes, (answers, rows), as probabilities of 0 and 1, (answers, 2, rows)."""
    return np.stack([seconds == 0, seconds == 1], axis=1).astype(np.float32)


def _pieces(tried: _Floats) -> list[_Floats]:
    return [tried[i : i + _AT_ONCE] for i in range(0, len(tried), _AT_ONCE)]


def losses_by(wanted: ThresholdSpec) -> _Losses:
    """Make the function that a threshold is chosen by: of classes, see `one_hot`, the loss of each answer."""
    cost, metric = wanted.cost, wanted.metric
    if cost is not None:
        return lambda said, truth: mean_cost(cost, said, truth)
    assert metric is not None
    sign = METRICS[metric].direction.loss_of(1.0)
    return lambda said, truth: sign * scores(metric, "classification", said, truth)


def _score_of(wanted: ThresholdSpec) -> Callable[[float], float]:
    return float if wanted.metric is None else METRICS[wanted.metric].direction.score_of


def mean_cost(cost: CostSpec, said: Answers, truth: Truth) -> _Floats:
    """Average what false predictions cost over the rows, (answers,)."""
    is_false = (said[:, 1] > said[:, 0]) != (truth.values == 1)
    return truth.mean(is_false * np.where(truth.values == 1, cost.false_negative, cost.false_positive))
