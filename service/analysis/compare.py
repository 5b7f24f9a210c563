"""Comparison of one hyperparameter's choices, each with its nuisance parameters optimised.

The terms are those of the deep learning tuning playbook (Godbole et al. 2023): the compared parameter is the
scientific one; nuisance parameters must be optimised for each of its values before the values can be compared.
A choice with more trials had more chances: so in addition to the best score, the expected best score of equally many
trials is computed (Dodge et al. 2019, "Show your work", equation 1), with its spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import numpy as np

from foldstep.models.catalog.metrics import Direction
from foldstep.models.hyperparameters import Value
from foldstep.service.contract.insight import Comparison, Contender
from foldstep.service.contract.space import Choices, Either, Fixed, FloatRange, IntRange, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import Evidence

N_BINS = 3
"""A range is split into this many equal parts, in its own scale, which are compared."""


def compare(search: str, metric: MetricSpec, by: str, space: Space, records: Sequence[TrialRecord]) -> Comparison:
    """Compare the values of a hyperparameter by the scores of the trials that used them.

    Args:
        search: id of the search.
        metric: the metric of its scores.
        by: the hyperparameter: a list of choices, or a range, which is split into `N_BINS` parts.
        space: the space of the stage.
        records: trials of one stage.
    """
    groups: dict[str, list[TrialRecord]] = {}
    for record in (trial for trial in Evidence.of(records).trials if by in trial.params):
        groups.setdefault(_group(space, by, record.params[by]), []).append(record)
    equal = min((len(_scores(group)) for group in groups.values() if _scores(group)), default=0)
    contenders = [_contender(value, group, equal, metric.direction) for value, group in groups.items()]
    contenders.sort(key=lambda c: (c.expected is None, metric.direction.loss_of(c.expected or 0.0), str(c.value)))
    nuisance = [n for n in space.searched() if n not in (by, "seed")]
    return Comparison(
        search=search, metric=metric, by=by, nuisance=nuisance, equal=equal, contenders=contenders,
        sentence=_verdict(by, contenders, equal, metric),
    )  # fmt: skip


def _group(space: Space, by: str, value: Value) -> str:
    distribution = space.parameters[by]
    if isinstance(distribution, Either):
        if value in distribution.extra:
            return _text(value)
        distribution = distribution.range
    if isinstance(distribution, FloatRange | IntRange) and distribution.low < distribution.high:
        if isinstance(distribution, IntRange) and distribution.high - distribution.low < N_BINS:
            return str(value)
        third = min(int(distribution.to_unit(value) * N_BINS), N_BINS - 1)
        low, high = (distribution.from_unit(u) for u in (third / N_BINS, (third + 1) / N_BINS - 1e-9))
        return f"{_text(low)} to {_text(high)}"
    assert isinstance(distribution, Choices | Fixed | IntRange | FloatRange)
    return _text(value)


def _text(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _scores(group: Sequence[TrialRecord]) -> list[float]:
    return [r.score for r in group if r.score is not None and math.isfinite(r.score)]


def _contender(value: str, group: Sequence[TrialRecord], equal: int, direction: Direction) -> Contender:
    scored = [r for r in group if r.score is not None and math.isfinite(r.score)]
    best = min(scored, key=lambda r: (direction.loss_of(r.score or 0.0), r.number), default=None)
    expected = low = high = None
    if scored and equal:
        goods = np.sort([-direction.loss_of(score) for score in _scores(group)])
        expected, low, high = (direction.score_of(-good) for good in _best_of(goods, equal))
    return Contender(
        value=value,
        trials=len(group),
        diverged=len(group) - len(scored),
        best=None if best is None else best.score,
        best_trial=None if best is None else best.number,
        spread=None if best is None else best.spread,
        expected=expected,
        low=low,
        high=high,
        params={} if best is None else best.params,
    )


def _best_of(goods: np.ndarray, n: int) -> tuple[float, float, float]:
    """Compute mean, 10 % and 90 % quantile of the greatest of n draws with replacement from ascending values.

    P(greatest <= value i) = ((i + 1) / N)^n.
    """
    cumulated = (np.arange(1, len(goods) + 1) / len(goods)) ** n
    shares = np.diff(cumulated, prepend=0.0)
    low, high = (goods[int(np.searchsorted(cumulated, q))] for q in (0.1, 0.9))
    return float(goods @ shares), float(low), float(high)


def _verdict(by: str, contenders: Sequence[Contender], equal: int, metric: MetricSpec) -> str:
    known = [c for c in contenders if c.expected is not None]
    if len(known) < 2:
        return f"There are too few finished trials to compare {by}."
    first, second = known[:2]
    assert first.expected is not None
    assert second.expected is not None
    noise = median([c.spread for c in known if c.spread is not None] or [0.0])
    difference = abs(first.expected - second.expected)
    reached = f"{first.value} is expected to reach {metric.name} {first.expected:.4g}"
    of = f"of {equal} trials each, {reached}, {second.value} {second.expected:.4g}"
    if difference <= noise:
        return f"{by}: {of}; that is within the spread of the folds ({noise:.2g}), so there is no clear winner."
    return f"{by}: {of}; {first.value} is better by more than the spread of the folds ({noise:.2g})."
