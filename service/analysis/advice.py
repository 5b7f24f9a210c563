"""A hyperparameter's effect in one sentence: its best region, the wasted part of its range, whether it matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foldstep.models.catalog.metrics import Direction
from foldstep.service.analysis.compare import counted
from foldstep.service.analysis.groups import text
from foldstep.service.analysis.judgement import Judgement
from foldstep.service.analysis.region import Region
from foldstep.service.contract.insight import EffectPoint, ParameterInsight, Support
from foldstep.service.contract.numbers import number
from foldstep.service.contract.trial import TrialRecord

WASTED = 0.5
"""Values whose expected loss is more than this share of the way from the best to the worst are wasted."""
LEAST_WASTE, LEAST_WASTED_TRIALS = 2, 5
"""Grid points at an end of a range that must be wasted before this is reported, and trials there."""


def insight(
    name: str,
    importance: float,
    effect: Sequence[EffectPoint],
    judged: Judgement,
    region: Region | None,
    trials: Sequence[TrialRecord],
    direction: Direction,
) -> ParameterInsight:
    """Make one hyperparameter's row of the report.

    Args:
        name: its name.
        importance: its share of the variance.
        effect: its marginal effect, with losses as `score`; values in their order.
        judged: the judgement of its values.
        region: where the best trials lie; None for choices, and where the trials are too few to tell.
        trials: those that have it, in the order that the judgement's indices refer to.
        direction: the metric's direction, to convert the losses back to scores.
    """
    return ParameterInsight(
        parameter=name,
        importance=importance,
        verdict=judged.verdict,
        support=[_support(g.value, [trials[i] for i in g.trials], direction) for g in judged.groups],
        effect=[p.model_copy(update={"score": direction.score_of(p.score)}) for p in effect],
        best_low=None if region is None else region.low,
        best_high=None if region is None else region.high,
        advice=f"{name}: {_words(effect, judged, region)}.",
    )


def _support(value: str, trials: Sequence[TrialRecord], direction: Direction) -> Support:
    scores = [trial.score for trial in trials if trial.score is not None and np.isfinite(trial.score)]
    return Support(value=value, trials=len(trials), best=min(scores, key=direction.loss_of, default=None))


def _words(effect: Sequence[EffectPoint], judged: Judgement, region: Region | None) -> str:
    if judged.verdict == "too_few":
        return f"too few to tell: {counted(judged)}"
    if judged.verdict == "little":
        return "makes little difference in its range"
    if judged.verdict == "equal":
        return f"the best trials of each value are within the spread of the folds ({number(judged.noise, 2)})"
    return _choice_words(judged) if region is None else _range_words(effect, region)


def _choice_words(judged: Judgement) -> str:
    first, *others = judged.groups
    unclear = " and ".join(g.value for g in others if g not in judged.worse)
    between = f", {unclear} not clearly worse" if unclear else ""
    return f"{first.value} is best{between}, {judged.worse[-1].value} is worst ({counted(judged)})"


def _range_words(effect: Sequence[EffectPoint], region: Region) -> str:
    lie = f"where {region.n_inside} of the best {region.n_best} trials lie"
    words = f"best region {text(region.low, 2)} to {text(region.high, 2)}, {lie}"
    above = [p for p in effect if float(str(p.value)) > region.high]
    below = [p for p in effect if float(str(p.value)) < region.low]
    waste = [*_waste(effect, above, "above"), *_waste(effect, below[::-1], "below")]
    return f"{words}; {' and '.join(waste)} {'is' if len(waste) == 1 else 'are'} wasted" if waste else words


def _waste(effect: Sequence[EffectPoint], outside: Sequence[EffectPoint], side: str) -> list[str]:
    """Describe the end of a range where all expected losses are bad; empty where there is no such end.

    Args:
        effect: all points.
        outside: those on one side of the best region, ordered towards the end of the range.
        side: `above` or `below`.
    """
    losses = [p.score for p in effect]
    bar = min(losses) + WASTED * (max(losses) - min(losses))
    start = next((i for i in reversed(range(len(outside))) if outside[i].score <= bar), -1) + 1
    bad = outside[start:]
    if len(bad) < LEAST_WASTE or sum(p.trials for p in bad) < LEAST_WASTED_TRIALS:
        return []
    return [f"the range {side} {text(bad[0].value, 2)}"]
