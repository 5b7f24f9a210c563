"""Comparison of one hyperparameter's choices, each with its nuisance parameters optimised.

The terms are those of the deep learning tuning playbook (Godbole et al. 2023): the compared parameter is the
scientific one; nuisance parameters must be optimised for each of its values before the values can be compared.
A choice with more trials had more chances: so in addition to the best score, the expected best score of equally many
trials of the same time is computed. What is said of them is the judgement that importance tells, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from foldstep.models.catalog.metrics import Direction
from foldstep.service.analysis.groups import Group
from foldstep.service.analysis.judgement import Judgement, judge_values
from foldstep.service.contract.insight import Comparison, Contender
from foldstep.service.contract.numbers import number
from foldstep.service.contract.numbers import score as score_text
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import Evidence


def compare(
    search: str, metric: MetricSpec, by: str, space: Space, records: Sequence[TrialRecord], *, adaptive: bool = True
) -> Comparison:
    """Compare the values of a hyperparameter by the scores of the trials that used them.

    Args:
        search: id of the search.
        metric: the metric of its scores.
        by: the hyperparameter: a list of choices, or a range, which is split into parts.
        space: the space of the stage.
        records: trials of one stage.
        adaptive: whether the search's method learns from results.
    """
    judged = judge_values(space, by, records, metric.direction, adaptive=adaptive)
    trials = [trial for trial in Evidence.of(records).trials if by in trial.params]
    contenders = [_contender(group, [trials[i] for i in group.trials], metric.direction) for group in judged.groups]
    nuisance = [n for n in space.searched() if n not in (by, "seed")]
    return Comparison(
        search=search, metric=metric, by=by, nuisance=nuisance, equal=judged.equal, verdict=judged.verdict,
        contenders=contenders, sentence=_sentence(by, judged, contenders, metric),
    )  # fmt: skip


def _contender(group: Group, trials: Sequence[TrialRecord], direction: Direction) -> Contender:
    scored = [r for r in trials if r.score is not None and math.isfinite(r.score)]
    best = min(scored, key=lambda r: (direction.loss_of(r.score or 0.0), r.number), default=None)
    diverged = sum(r.state is TrialState.DIVERGED for r in trials)
    return Contender(
        value=group.value,
        trials=len(trials),
        diverged=diverged,
        unscored=len(trials) - len(scored) - diverged,
        best=None if best is None else best.score,
        best_trial=None if best is None else best.number,
        spread=None if best is None else best.spread,
        expected=None if group.expected is None else direction.score_of(group.expected),
        low=None if group.low is None else direction.score_of(group.low),
        high=None if group.high is None else direction.score_of(group.high),
        params={} if best is None else best.params,
    )


def _sentence(by: str, judged: Judgement, contenders: Sequence[Contender], metric: MetricSpec) -> str:
    known = [c for c in contenders if c.expected is not None]
    if judged.verdict == "differs" and len(known) == 1:
        return f"{by}: {known[0].value} is better: no trial with another value has a score ({counted(judged)})."
    if len(known) < 2:
        return f"There are too few finished trials to compare {by}."
    first, second = known[:2]
    reached = f"{first.value} is expected to reach {metric.name} {score_text(first.expected)}"
    each = "1 trial" if judged.equal == 1 else f"{judged.equal} trials"
    of = f"{by}: of {each} each, {reached}, {second.value} {score_text(second.expected)}"
    noise = f"the spread of the folds ({number(judged.noise, 2)})"
    if judged.verdict == "too_few":
        return f"{of}; {counted(judged)} are too few to tell which is better."
    if judged.verdict == "little":
        return f"{of}; it makes little difference in its range, so there is no clear winner."
    if judged.verdict == "equal":
        return f"{of}; that is within {noise}, so there is no clear winner."
    is_best_of_all = len(judged.worse) == len(judged.groups) - 1
    than = "" if is_best_of_all else f" than {' and '.join(g.value for g in judged.worse)}"
    by_more = f" by more than {noise}" if judged.noise else ""
    return f"{of}; {first.value} is better{than}{by_more}."


def counted(judged: Judgement) -> str:
    """List how many trials each value has: 145 trials of adam and 5 of sgd."""
    first, *others = judged.groups
    named = [f"{len(first.trials)} {'trial' if len(first.trials) == 1 else 'trials'} of {first.value}"]
    named += [f"{len(g.trials)} of {g.value}" for g in others]
    return " and ".join([", ".join(named[:-1]), named[-1]] if others else named)
