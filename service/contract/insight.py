"""Reports on the hyperparameters of a search, as users read them: importance, effects and comparisons."""

from __future__ import annotations

from typing import Literal, TypeAlias

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Frozen, Params
from foldstep.service.contract.spec import MetricSpec

Verdict: TypeAlias = Literal["differs", "equal", "little", "too_few"]
"""What the trials say of a hyperparameter's values, in importance and comparison alike.

`differs`: some are better than others by more than the spread of the folds; `equal`: they differ, but the best trials
of each are within that spread; `little`: no difference is seen, and a large one would have been; `too_few`: no
difference is seen, and a large one might not have been.
"""


class EffectPoint(Frozen):
    """The expected score at one value of a hyperparameter, all others averaged over their ranges.

    Attributes:
        value: the hyperparameter's.
        score: expected, in the metric's units.
        spread: standard deviation of the expectation over the trees of the model: its uncertainty.
        trials: number of trials with this value, or, of a range, with one nearer to this than to the other points.
    """

    value: Value
    score: float
    spread: float
    trials: int


class Support(Frozen):
    """The trials behind one choice, or one part of a range.

    Attributes:
        value: the choice, or the part in words.
        trials: number of its trials.
        best: the best score; None where no trial has one.
    """

    value: str
    trials: int
    best: float | None


class ParameterInsight(Frozen):
    """The importance and effect of one hyperparameter.

    Attributes:
        importance: its share of the variance of the scores over the space, alone; 0 to 1.
        verdict: what its trials say of its values; `Comparison` has the same.
        support: the trials of its choices, or of the parts of its range, the best first.
        effect: the expected score along its values.
        best_low: lower end of the region where the best trials lie; None for choices, and where nothing is told.
        best_high: the region's upper end.
        advice: a summary in one sentence.
    """

    parameter: str
    importance: float
    verdict: Verdict
    support: list[Support]
    effect: list[EffectPoint]
    best_low: float | None
    best_high: float | None
    advice: str


class Interaction(Frozen):
    """Two hyperparameters that matter together beyond what each does alone; a share of the variance."""

    parameters: tuple[str, str]
    importance: float


class ImportanceReport(Frozen):
    """The report on which hyperparameters matter in a search.

    Attributes:
        stage: the stage whose trials are analysed, from 0; other stages have other epochs, so their scores differ.
        trials: number of these trials.
        fit: R² of the model on the trees' left-out trials; where it is low, the rest is unreliable. None where no
            model was fitted.
        parameters: the most important first.
        interactions: the strongest first.
        notes: limits of the report, one sentence each.
    """

    search: str
    metric: MetricSpec
    stage: int
    trials: int
    fit: float | None
    parameters: list[ParameterInsight]
    interactions: list[Interaction]
    notes: list[str]


class Contender(Frozen):
    """One choice of the compared hyperparameter, with the results of its trials.

    Attributes:
        value: the choice.
        trials: number of its trials that completed, were pruned or diverged.
        diverged: number of those that diverged.
        unscored: number of those without a score for another reason.
        best: the best score; None where no trial has a score.
        best_trial: number of the trial with the best score.
        spread: standard deviation over that trial's folds.
        expected: the best score to expect of `Comparison.equal` trials of the same time, for a fair comparison of
            unequal numbers.
        low: an expected best score that is worse in only 1 of 10 such draws.
        high: an expected best score that is better in only 1 of 10.
        params: the best trial's hyperparameters.
    """

    value: Value
    trials: int
    diverged: int
    unscored: int
    best: float | None
    best_trial: int | None
    spread: float | None
    expected: float | None
    low: float | None
    high: float | None
    params: Params


class Comparison(Frozen):
    """The comparison of one hyperparameter's choices, each with its nuisance parameters optimised.

    Attributes:
        by: the compared (scientific) hyperparameter.
        nuisance: the hyperparameters that were optimised for each choice.
        equal: number of trials that `expected` refers to: the least number of scored trials of a choice that has any.
        verdict: what the trials say of the choices; `ParameterInsight` has the same.
        contenders: the choices, that with the best expected score first.
        sentence: the result in words.
    """

    search: str
    metric: MetricSpec
    by: str
    nuisance: list[str]
    equal: int
    verdict: Verdict
    contenders: list[Contender]
    sentence: str
