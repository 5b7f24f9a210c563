"""A hyperparameter's effect in one sentence: its best region, the wasted part of its range, whether it matters."""

from __future__ import annotations

from collections.abc import Sequence

from foldstep.models.catalog.metrics import Direction
from foldstep.models.hyperparameters import Value
from foldstep.service.contract.insight import EffectPoint, ParameterInsight
from foldstep.service.contract.space import Choices, Distribution

MATTERS = 0.02
"""A hyperparameter with less than this share of the variance is reported as making little difference."""
WASTED = 0.5
"""Values whose expected loss is more than this share of the way from the best to the worst are wasted."""
LEAST_WASTE = 2
"""Grid points at an end of a range that must be wasted before this is reported."""


def insight(
    name: str, distribution: Distribution, importance: float, effect: Sequence[EffectPoint], direction: Direction
) -> ParameterInsight:
    """Make one hyperparameter's row of the report.

    Args:
        name: its name.
        distribution: its values in the stage.
        importance: its share of the variance.
        effect: its marginal effect, with losses as `score`; values in their order.
        direction: the metric's direction, to convert the losses back to scores.
    """
    is_choice = isinstance(distribution, Choices)
    first, last = _best_region(effect)
    return ParameterInsight(
        parameter=name,
        importance=importance,
        effect=[p.model_copy(update={"score": direction.score_of(p.score)}) for p in effect],
        best_low=None if is_choice else _number(effect[first].value),
        best_high=None if is_choice else _number(effect[last].value),
        advice=f"{name}: {_words(importance, effect, (first, last), is_choice=is_choice)}.",
    )


def _words(importance: float, effect: Sequence[EffectPoint], region: tuple[int, int], *, is_choice: bool) -> str:
    if importance < MATTERS:
        return "makes little difference in its range"
    return _choice_words(effect) if is_choice else _range_words(effect, *region)


def _choice_words(effect: Sequence[EffectPoint]) -> str:
    ordered = sorted(effect, key=lambda p: p.score)
    close = [p for p in ordered if p.score <= ordered[0].score + ordered[0].spread]
    best = " and ".join(_text(p.value) for p in close)
    worst = ordered[-1]
    rest = "" if len(close) == len(ordered) else f", {_text(worst.value)} is worst"
    return f"{best} {'is' if len(close) == 1 else 'are'} best{rest}"


def _range_words(effect: Sequence[EffectPoint], first: int, last: int) -> str:
    words = f"best region {_text(effect[first].value)} to {_text(effect[last].value)}"
    waste = [*_waste(effect, last, "above"), *_waste(effect[::-1], len(effect) - 1 - first, "below")]
    return f"{words}; {' and '.join(waste)} wasted" if waste else words


def _waste(effect: Sequence[EffectPoint], last: int, side: str) -> list[str]:
    """Describe the end of a range where all expected losses are bad; empty where there is no such end.

    Args:
        effect: the points, ordered towards that end.
        last: index of the last point of the best region.
        side: `above` or `below`.
    """
    losses = [p.score for p in effect]
    bar = min(losses) + WASTED * (max(losses) - min(losses))
    start = next(i for i in reversed(range(len(effect))) if losses[i] <= bar) + 1
    if start <= last or len(effect) - start < LEAST_WASTE:
        return []
    return [f"the range {side} {_text(effect[start].value)} is"]


def _best_region(effect: Sequence[EffectPoint]) -> tuple[int, int]:
    """Find the first and last index of the points around the best one whose loss is within its spread of the best."""
    losses = [p.score for p in effect]
    best = losses.index(min(losses))
    bar = losses[best] + effect[best].spread
    first = last = best
    while first > 0 and losses[first - 1] <= bar:
        first -= 1
    while last < len(losses) - 1 and losses[last + 1] <= bar:
        last += 1
    return first, last


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: Value) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
