"""Coarse to fine: stages of growing epochs, each drawing from ranges narrowed around the good trials of the last.

The first stage is a random search. After each stage, every range shrinks to the region of its good trials with a
margin, in the range's own scale, but keeps the values that short trainings cannot judge: low learning rates and strong
regularisation. Edges at which the best values lie move outwards (`borders`).
The best configurations are trained again in the next stage, for its epochs: from the start, or with `continue` in the
stage from where their trials ended.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from foldstep.models.catalog.kinds import Value
from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.leaderboard import BorderFinding
from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import CvSpec, Spec, StageSpec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TrialState
from foldstep.service.planner.borders import extend_borders, find_borders
from foldstep.service.planner.evidence import Evidence, Judged, good_trials, judge

MIN_SHARE = 0.25  # least share of the last stage's range, in its scale, that is kept
NEAR_EDGE = 0.05  # an end of a range with less than this share of it is not cut off
MIN_ACTIVE_GOOD = 3  # with fewer good values, a range stays as it is
DROP_CHANCE = 0.05  # a choice is dropped if its absence from the good trials has less probability by chance
MIN_TRIALS_TO_DROP = 5
SURVIVOR_SHARE = 1 / 3  # greatest share of the next stage's trials that are survivors; one that continues has one
NEVER_NARROWED = frozenset({"seed"})  # which seed does well is chance
PAYS_LATE = frozenset(
    {"dropout", "input_dropout", "input_mask", "mixup", "weight_decay", "l1", "label_smoothing", "ema_decay"}
)
"""Regularisation whose high values look worse after few epochs than they are, because overfitting comes later."""
SHORT = 0.25  # a stage with less than this share of the longest stage's epochs does not narrow `PAYS_LATE` from above


def next_stage(
    spec: Spec, finished: StagePlan, evidence: Evidence, direction: Direction
) -> tuple[StagePlan | None, list[BorderFinding]]:
    """Plan the stage after `finished` and report the borders of `finished`; no stage (None) after the last one.

    Args:
        spec: the search.
        finished: the stage that ended.
        evidence: of that stage.
        direction: whether higher or lower scores are better.
    """
    planned = spec.planned_stages()
    if finished.index + 1 >= len(planned):
        return None, []
    coming = planned[finished.index + 1]
    trials = judge(evidence, direction)
    horizon = (finished.epochs or 1) / max(1, *(stage.epochs for stage in planned))
    narrowed = narrow(finished.space, trials, _n_folds(spec.cv), horizon)
    borders = find_borders(finished.space, evidence, direction)
    extended = extend_borders(borders, narrowed, spec.border, finished.extensions)
    survivors = _survivors(trials, extended.space, max_survivors(coming, finished.epochs or 0))
    completed = {trial.number for trial in evidence.trials if trial.state is TrialState.COMPLETED}
    plan = StagePlan(
        index=finished.index + 1,
        space=extended.space,
        trials=coming.trials,
        epochs=coming.epochs,
        extensions=extended.extensions,
        first_trial=finished.first_trial + (finished.trials or 0),
        survivors=list(survivors.values()),
        continues=[n if n in completed else None for n in survivors] if coming.continues else [],
    )
    return plan, extended.findings


def max_survivors(coming: StageSpec, epochs: int) -> int:
    """Compute how many configurations a stage takes over at most; none where it has no more epochs than the one before.

    Args:
        coming: the stage that takes them over.
        epochs: epochs of the stage before.
    """
    if coming.epochs <= epochs:
        return 0
    return max(math.floor(coming.trials * SURVIVOR_SHARE), int(coming.continues))


def narrow(space: Space, trials: Sequence[Judged], n_folds: int, horizon: float = 1.0) -> Space:
    """Narrow a space to the region around the good trials.

    Args:
        space: of the finished stage.
        trials: its trials, best first, see `evidence.judge`.
        n_folds: number of folds that each score is the mean of.
        horizon: the finished stage's epochs as a share of the longest stage's.
    """
    good = good_trials(trials, n_folds)
    parameters = {
        name: distribution if name in NEVER_NARROWED else _narrow_one(name, distribution, good, trials, horizon)
        for name, distribution in space.parameters.items()
    }
    return Space(parameters=parameters)


def _narrow_one(
    name: str, distribution: Distribution, good: Sequence[Judged], trials: Sequence[Judged], horizon: float
) -> Distribution:
    good_values = [trial.params[name] for trial in good if name in trial.params]
    if isinstance(distribution, Either):
        return _narrow_either(name, distribution, good, trials, horizon)
    if isinstance(distribution, Fixed) or len(good_values) < MIN_ACTIVE_GOOD:
        return distribution
    if isinstance(distribution, Choices):
        return distribution.model_copy(update={"choices": _kept(name, distribution.choices, good, trials)})
    low, high = _region([distribution.to_unit(v) for v in good_values])
    if name == "lr":
        # a rate that is best for n epochs may be too high for k n epochs: keep rates down to 1/k of it
        slower = median(float(v) for v in good_values) * horizon  # type: ignore[arg-type]
        low = min(low, distribution.to_unit(max(slower, distribution.low)))
    elif name in PAYS_LATE and horizon < SHORT:
        high = 1.0
    return _sub_range(distribution, low, high)


def _narrow_either(
    name: str, distribution: Either, good: Sequence[Judged], trials: Sequence[Judged], horizon: float
) -> Distribution:
    """Narrow a range by the good values in it, and drop extra values as a list's choices are dropped."""

    def in_range(of: Sequence[Judged]) -> list[Judged]:
        return [trial for trial in of if name in trial.params and trial.params[name] not in distribution.extra]

    range_ = _narrow_one(name, distribution.range, in_range(good), in_range(trials), horizon)
    has_enough = sum(name in trial.params for trial in good) >= MIN_ACTIVE_GOOD
    kept = _kept(name, distribution.extra, good, trials) if has_enough else distribution.extra
    if not kept:
        return range_.model_copy(update={"when": distribution.when})
    return distribution.model_copy(update={"range": range_, "extra": kept})


def _kept(name: str, choices: list[Value], good: Sequence[Judged], trials: Sequence[Judged]) -> list[Value]:
    """List the choices that are not dropped; see `_is_dropped`."""
    good_values, all_values = ([t.params[name] for t in of if name in t.params] for of in (good, trials))
    return [
        choice
        for choice in choices
        if not _is_dropped(choice in good_values, all_values.count(choice), len(all_values), len(good_values))
    ]


def _region(places: Sequence[float]) -> tuple[float, float]:
    """Choose the part of the unit interval around `places` that is kept: its low and high end.

    m uniform draws from an interval of width w span w (m - 1) / (m + 1) on average: a margin of one mean gap on
    either side makes up for it, so that a parameter without influence keeps its range.
    """
    low, high = min(places), max(places)
    margin = (high - low) / (len(places) - 1)
    low, high = low - margin, high + margin
    missing = max(0.0, MIN_SHARE - (high - low))
    low, high = low - missing / 2, high + missing / 2
    shift = max(0.0, -low) - max(0.0, high - 1)
    if high - low < 1:
        low, high = low + shift, high + shift
    return (0.0 if low < NEAR_EDGE else low), (1.0 if high > 1 - NEAR_EDGE else high)


def _sub_range(distribution: FloatRange | IntRange, low: float, high: float) -> FloatRange | IntRange:
    bounds = {
        "low": distribution.low if low <= 0 else distribution.from_unit(low),
        "high": distribution.high if high >= 1 else distribution.from_unit(high),
    }
    return distribution.model_copy(update=bounds)


def _is_dropped(is_good: bool, n_trials: int, n_all: int, n_good: int) -> bool:
    """Tell whether a choice's absence from the good trials is evidence against it.

    The chance that none of its `n_trials` is among `n_good` of `n_all` trials drawn at random is
    C(n_all - n_trials, n_good) / C(n_all, n_good) (hypergeometric).
    """
    if is_good or n_trials < MIN_TRIALS_TO_DROP:
        return False
    return math.comb(n_all - n_trials, n_good) / math.comb(n_all, n_good) < DROP_CHANCE


def _survivors(trials: Sequence[Judged], space: Space, count: int) -> dict[int, Params]:
    """Find the best configurations that lie in the next stage's space, by trial number, without the epochs."""
    survivors: dict[int, Params] = {}
    for trial in trials:
        params = {n: v for n, v in trial.params.items() if n in space.parameters and n != "epochs"}
        fits = all(space.parameters[n].contains(v) for n, v in params.items())
        if len(survivors) < count and math.isfinite(trial.loss) and fits and params not in survivors.values():
            survivors[trial.number] = params
    return survivors


def _n_folds(cv: CvSpec) -> int:
    """Count the folds that average out noise in a score: `cv.folds` without repeats, which share their rows; else 1."""
    return cv.folds or 1
