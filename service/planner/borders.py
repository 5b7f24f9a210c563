"""The border check: best values at the edge of a range mean that the range was too small.

A border is reported where the best trial's value lies within a tenth of the range from an edge, in the range's
own scale, or where the scores clearly improve towards an edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.kinds import Hyperparameter, Value
from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.leaderboard import BorderFinding
from foldstep.service.contract.numbers import number
from foldstep.service.contract.space import STEP_SLACK, Choices, Distribution, Either, FloatRange, IntRange, Space
from foldstep.service.contract.spec import BorderSpec
from foldstep.service.planner.evidence import Evidence, Judged, judge

Edge: TypeAlias = Literal["low", "high"]

EDGE_SHARE = 0.1  # share of the range, in its scale, that counts as its edge
MIN_TRIALS = 3  # with fewer no border is reported
MIN_TRIALS_FOR_TREND = 12
MIN_OUTER_FOR_TREND = 8
TREND_QUARTER = 0.7  # least mean place of the best quarter of trials, 1 being the edge
TREND_CORRELATION = 0.5  # least rank correlation of place and score in the half of the range at the edge
NEVER_A_BORDER = frozenset({"seed"})  # the order of seeds means nothing


@dataclass(frozen=True)
class Border:
    """A range whose best values lie at an edge.

    Attributes:
        limit: the edge's value.
        best: the best trial's value.
        beyond: the edge that an extension would give; None where the parameter's domain ends at this edge.
        is_trend: the best value itself is not at the edge, but scores improve towards it.
        is_list: the range is a list of numbers, which only a user can extend.
    """

    parameter: str
    edge: Edge
    limit: float
    best: float
    beyond: float | None
    is_trend: bool = False
    is_list: bool = False


@dataclass(frozen=True)
class Extension:
    """A space with extended ranges.

    Attributes:
        space: with the new edges.
        findings: every border, and what was done about it.
        extensions: how often each parameter's range has been extended by now.
    """

    space: Space
    findings: list[BorderFinding]
    extensions: dict[str, int]


def find_borders(space: Space, evidence: Evidence, direction: Direction) -> list[Border]:
    """Find the borders of a stage.

    Args:
        space: the stage's.
        evidence: of the stage.
        direction: whether higher or lower scores are better.
    """
    trials = judge(evidence, direction)
    if len(trials) < MIN_TRIALS or not math.isfinite(trials[0].loss):
        return []
    borders = []
    for name in space.searched():
        distribution = _ordered_range(space.parameters[name])
        if distribution is None or name in NEVER_A_BORDER or not _has_place(space.parameters[name], name, trials[0]):
            continue
        borders += _borders_of(name, distribution, [t for t in trials if _has_place(space.parameters[name], name, t)])
    return borders


def report_borders(space: Space, evidence: Evidence, direction: Direction) -> list[BorderFinding]:
    """Report the borders of a search's last stage, each with advice for the next search."""
    return [_finding(border, None, _advice(border)) for border in find_borders(space, evidence, direction)]


def extend_borders(
    borders: Sequence[Border], space: Space, policy: BorderSpec, extensions: dict[str, int]
) -> Extension:
    """Extend the ranges that have a border in the space of the next stage, as far as policy and domains allow.

    Args:
        borders: of the finished stage, see `find_borders`.
        space: of the next stage; narrowed or not.
        policy: whether and how often ranges are extended.
        extensions: how often each parameter's range was extended before.
    """
    parameters, used, findings = dict(space.parameters), dict(extensions), []
    for border in borders:
        name = border.parameter
        may_extend = policy.extend and extensions.get(name, 0) < policy.extensions
        if border.beyond is None or border.is_list or not may_extend:
            why = _why_not(policy, extensions.get(name, 0)) if border.beyond is not None else ""
            findings.append(_finding(border, None, why + _advice(border)))
            continue
        parameters[name] = _extended(parameters[name], border)
        used[name] = extensions.get(name, 0) + 1
        findings.append(_finding(border, border.beyond, f"extended to {_text(border.beyond)} in the next stage."))
    return Extension(Space(parameters=parameters), findings, used)


def _has_place(distribution: Distribution, name: str, trial: Judged) -> bool:
    """Tell whether a trial has a value of the range; an extra value (`or`) has no place in it."""
    if name not in trial.params:
        return False
    return not isinstance(distribution, Either) or trial.params[name] not in distribution.extra


def _extended(distribution: Distribution, border: Border) -> Distribution:
    """Move an edge; extra values that then lie in the range are no longer extra."""
    if not isinstance(distribution, Either):
        return distribution.model_copy(update={border.edge: border.beyond})
    range_ = distribution.range.model_copy(update={border.edge: border.beyond})
    extra = [value for value in distribution.extra if not range_.low <= value <= range_.high]  # type: ignore[operator]
    if not extra:
        return range_.model_copy(update={"when": distribution.when})
    return distribution.model_copy(update={"range": range_, "extra": extra})


@dataclass(frozen=True)
class _List:
    """A sorted list of numbers, treated as a range whose scale is the place in the list."""

    values: tuple[float, ...]

    @property
    def low(self) -> float:
        return self.values[0]

    @property
    def high(self) -> float:
        return self.values[-1]

    def to_unit(self, value: Value) -> float:
        return self.values.index(value) / (len(self.values) - 1)


_Range: TypeAlias = FloatRange | IntRange | _List


def _ordered_range(distribution: Distribution) -> _Range | None:
    """View a distribution as a range with two edges; None where it has none (text, fixed, fewer than 3 numbers)."""
    if isinstance(distribution, Choices):
        numbers = [v for v in distribution.choices if isinstance(v, int | float) and not isinstance(v, bool)]
        is_list = len(numbers) == len(distribution.choices) >= 3
        return _List(tuple(sorted(numbers))) if is_list else None
    if isinstance(distribution, Either):
        return _ordered_range(distribution.range)
    if isinstance(distribution, FloatRange | IntRange) and distribution.low < distribution.high:
        return distribution
    return None


def _borders_of(name: str, distribution: _Range, trials: list[Judged]) -> list[Border]:
    places = np.array([distribution.to_unit(trial.params[name]) for trial in trials])
    best = trials[0].params[name]
    assert isinstance(best, int | float)
    borders = []
    edges: tuple[tuple[Edge, float, npt.NDArray[np.float64]], ...] = (
        ("low", distribution.low, 1 - places),
        ("high", distribution.high, places),
    )
    for edge, limit, towards in edges:
        is_at_edge = bool(towards[0] >= 1 - EDGE_SHARE) or best == limit
        if is_at_edge or _is_trend(towards, np.array([trial.loss for trial in trials])):
            beyond = None if isinstance(distribution, _List) else _beyond(name, distribution, edge)
            borders.append(
                Border(
                    name, edge, limit, best, beyond, is_trend=not is_at_edge, is_list=isinstance(distribution, _List)
                )
            )
    return borders


def _is_trend(towards: npt.NDArray[np.float64], losses: npt.NDArray[np.float64]) -> bool:
    """Tell whether the best quarter lies near an edge and scores improve up to it; trials come best first.

    The correlation is taken over the outer half of the range alone, which tells a trend to the edge from a peak
    before it.
    """
    if len(towards) < MIN_TRIALS_FOR_TREND or towards[: len(towards) // 4].mean() < TREND_QUARTER:
        return False
    outer = towards > 0.5
    return outer.sum() >= MIN_OUTER_FOR_TREND and _rank_correlation(towards[outer], -losses[outer]) >= TREND_CORRELATION


def _rank_correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Compute Spearman's rank correlation; equal values share their mean rank; 0 where one side is constant."""
    ranks = np.stack([_mean_ranks(a), _mean_ranks(b)])
    if (np.ptp(ranks, axis=1) == 0).any():
        return 0.0
    return float(np.asarray(np.corrcoef(ranks))[0, 1])


def _mean_ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def _beyond(name: str, distribution: FloatRange | IntRange, edge: Edge) -> float | None:
    """Compute the edge after an extension: ten times further for a log range (twice for whole numbers), else by half.

    It stays within the parameter's domain: it stops at a closed bound and goes half of the way to an open one.
    """
    row = lookup(name)
    assert row is not None
    if isinstance(distribution, IntRange) or distribution.step is not None:
        return _beyond_in_steps(row, distribution, edge)
    limit, sign = (distribution.high, 1) if edge == "high" else (distribution.low, -1)
    proposal = limit * 10.0**sign if distribution.log else limit + sign * (distribution.high - distribution.low) / 2
    bound, is_open = (row.high, row.high_open) if edge == "high" else (row.low, row.low_open)
    if bound is not None and sign * (proposal - bound) >= 0:
        proposal = (limit + bound) / 2 if is_open else bound
    return proposal if math.isfinite(proposal) and proposal != limit and row.allows(proposal) else None


def _beyond_in_steps(row: Hyperparameter, distribution: FloatRange | IntRange, edge: Edge) -> float | None:
    assert distribution.n_values is not None
    last = distribution.n_values - 1  # the range's high end may lie between two steps
    sign, begin = (1, last) if edge == "high" else (-1, 0)
    wanted = max(1, (last + 1) // 2)
    if isinstance(distribution, IntRange) and distribution.log:
        wanted = distribution.high if sign > 0 else distribution.low - distribution.low // 2
    for k in (wanted, _steps_to_bound(row, distribution, begin, sign)):
        if k is not None and k > 0 and row.allows(edge_then := _edge_at(row, distribution, begin + sign * k, sign)):
            return edge_then
    return None


def _edge_at(row: Hyperparameter, distribution: FloatRange | IntRange, index: int, sign: int) -> float:
    """Compute the value of a step; one within rounding of a bound of the domain is that bound."""
    assert distribution.step is not None
    value, bound = distribution.value_at(index), row.high if sign > 0 else row.low
    return bound if bound is not None and abs(value - bound) < STEP_SLACK * distribution.step else value


def _steps_to_bound(row: Hyperparameter, distribution: FloatRange | IntRange, begin: int, sign: int) -> int | None:
    """Count the steps that fit between a step of the range and the bound of the domain; None without a bound."""
    bound, is_open = (row.high, row.high_open) if sign > 0 else (row.low, row.low_open)
    if bound is None:
        return None
    limit = distribution.value_at(begin)
    between = {"low": min(limit, bound), "high": max(limit, bound)}
    n_values = distribution.model_copy(update=between).n_values
    assert n_values is not None
    reaches_bound = _edge_at(row, distribution, begin + sign * (n_values - 1), sign) == bound
    return n_values - 1 - (is_open and reaches_bound)


def _finding(border: Border, extended_to: float | None, what_then: str) -> BorderFinding:
    return BorderFinding(
        parameter=border.parameter,
        edge=border.edge,
        limit=border.limit,
        best=border.best,
        extended_to=extended_to,
        sentence=f"{border.parameter}: {_observation(border)}; {what_then}",
    )


def _observation(border: Border) -> str:
    place = f"the {border.edge} edge {_text(border.limit)} of its range"
    if border.is_trend:
        return f"scores improve towards {place}, the best value is {_text(border.best)}"
    if border.best == border.limit:
        return f"the best value is {place}"
    return f"the best value {_text(border.best)} lies at {place}"


def _why_not(policy: BorderSpec, n_before: int) -> str:
    if not policy.extend:
        return "extending is switched off (border.extend), "
    return f"it was extended {n_before} times, as often as border.extensions allows, "


def _advice(border: Border) -> str:
    if border.is_list:
        return f"search again with a value {'above' if border.edge == 'high' else 'below'} {_text(border.limit)}."
    if border.beyond is None:
        return "there is nothing to extend, for it can go no further."
    return f"search again with {border.edge}: {_text(border.beyond)}."


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else number(value)
