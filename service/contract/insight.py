"""What a search says about its hyperparameters, as users read it."""

from __future__ import annotations

from foldstep.models.hyperparameters import Value
from foldstep.service.contract.space import Frozen, Params
from foldstep.service.contract.spec import MetricSpec


class EffectPoint(Frozen):
    """The expected score at one value of a hyperparameter, all others averaged over their ranges.

    Attributes:
        value: the hyperparameter's.
        score: expected, in the metric's units.
        spread: standard deviation between the trees of the model: how sure it is.
    """

    value: Value
    score: float
    spread: float


class ParameterInsight(Frozen):
    """One hyperparameter.

    Attributes:
        importance: its share of the variance of the scores over the space, alone; 0 to 1.
        effect: the course of the score along its values.
        best_low: lower end of the region that is as good as the best, where its values have an order.
        best_high: the region's upper end.
        advice: all of it in one sentence.
    """

    parameter: str
    importance: float
    effect: list[EffectPoint]
    best_low: float | None
    best_high: float | None
    advice: str


class Interaction(Frozen):
    """Two hyperparameters that matter together beyond what each does alone; a share of the variance."""

    parameters: tuple[str, str]
    importance: float


class ImportanceReport(Frozen):
    """What matters in a search.

    Attributes:
        stage: whose trials it is about, from 0: others have other epochs, and their scores do not compare.
        trials: how many of them.
        fit: how well the model tells the score of trials that it has not seen (R² on the trees' left-out trials); where
            it is low, the rest says little.
        parameters: the most important first.
        interactions: the strongest first.
        notes: what limits the report, one sentence each.
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
    """One choice of the compared hyperparameter, with everything else as good as its trials made it.

    Attributes:
        value: the choice.
        trials: how many ended with it, but for failed ones, which say nothing of it.
        diverged: how many of those diverged.
        best: the best score; None where it has none.
        best_trial: that trial's number.
        spread: standard deviation over that trial's folds.
        expected: the best score to expect of `Comparison.equal` trials, for a fair comparison of unequal numbers.
        low: an expected best score that is worse in only 1 of 10 such draws.
        high: an expected best score that is better in only 1 of 10.
        params: the best trial's hyperparameters.
    """

    value: Value
    trials: int
    diverged: int
    best: float | None
    best_trial: int | None
    spread: float | None
    expected: float | None
    low: float | None
    high: float | None
    params: Params


class Comparison(Frozen):
    """The choices of one hyperparameter against each other, each with its nuisance parameters optimised.

    Attributes:
        by: the compared (scientific) hyperparameter.
        nuisance: what was optimised for each choice.
        equal: number of trials that `expected` is for: those of the choice with the fewest.
        contenders: the best expectation first.
        sentence: the verdict in words.
    """

    search: str
    metric: MetricSpec
    by: str
    nuisance: list[str]
    equal: int
    contenders: list[Contender]
    sentence: str
