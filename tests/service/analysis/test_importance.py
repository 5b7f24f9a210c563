"""What matters is found, on functions whose answer is known, and agrees with Optuna's own analysis."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from foldstep.models.catalog.metrics import Direction
from foldstep.service.analysis.child import report_in_child
from foldstep.service.analysis.importance import anova
from foldstep.service.analysis.report import importance_report
from foldstep.service.analysis.table import bounded, subject_stage, table_of
from foldstep.service.contract.insight import ImportanceReport
from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import Evidence
from foldstep.service.planner.random import random_params
from tests.service.planner.spaces import finished

SPACE = Space(
    parameters={
        "lr": FloatRange(low=1e-5, high=1.0, log=True),
        "width": IntRange(low=8, high=256, log=True),
        "dropout": FloatRange(low=0.0, high=0.8),
        "optimizer": Choices(choices=["adam", "sgd", "rmsprop"]),
        "momentum": FloatRange(low=0.5, high=0.99, when={"optimizer": ["sgd"]}),
    }
)
ACCURACY, RMSE = MetricSpec(name="accuracy"), MetricSpec(name="rmse")
Score = Callable[[Params], float | None]


def history(score: Score, n: int = 200, space: Space = SPACE) -> list[TrialRecord]:
    drawn = [random_params(space, 1, number) for number in range(n)]
    return [finished(number, params, score(params)) for number, params in enumerate(drawn)]


def log_lr(params: Params) -> float:
    return math.log10(float(params["lr"]))  # type: ignore[arg-type]


def report(score: Score, metric: MetricSpec = ACCURACY, n: int = 200) -> ImportanceReport:
    return importance_report("s-1", metric, 0, SPACE, history(score, n))


def advice(found: ImportanceReport, name: str) -> str:
    return next(row.advice for row in found.parameters if row.parameter == name)


def test_the_one_that_matters_comes_first_with_its_region() -> None:
    found = report(lambda p: 0.9 - 0.1 * (log_lr(p) + 3) ** 2)
    first, *others = found.parameters
    assert first.parameter == "lr"
    assert first.importance > 0.8
    assert all(row.importance < 0.05 for row in others)
    assert first.best_low is not None
    assert first.best_high is not None
    assert first.best_low < 1e-3 < first.best_high < 0.1
    assert found.fit is not None
    assert found.fit > 0.8
    assert "best region" in first.advice
    assert "the range above" in first.advice
    assert advice(found, "dropout") == "dropout: makes little difference in its range."


def test_a_smaller_score_can_be_the_better_one() -> None:
    found = report(lambda p: 1 + 0.1 * (log_lr(p) + 3) ** 2, RMSE)
    first = found.parameters[0]
    assert first.parameter == "lr"
    assert min(first.effect, key=lambda point: point.score).value == pytest.approx(1e-3, rel=2)
    assert first.best_low is not None
    assert first.best_low < 1e-3


def test_choices_are_named() -> None:
    worth = {"adam": 0.9, "sgd": 0.5, "rmsprop": 0.89}
    found = report(lambda p: worth[str(p["optimizer"])] + 0.001 * log_lr(p))
    assert found.parameters[0].parameter == "optimizer"
    assert "sgd is worst" in found.parameters[0].advice
    assert "adam" in found.parameters[0].advice.split("best")[0]


def test_what_matters_only_together_is_an_interaction() -> None:
    # alone neither makes a difference: wide networks want high rates, narrow ones low rates
    found = report(lambda p: float((log_lr(p) > -2.5) == (float(p["width"]) > 45)), n=400)  # type: ignore[arg-type]
    assert {row.importance < 0.1 for row in found.parameters} == {True}
    strongest = found.interactions[0]
    assert set(strongest.parameters) == {"lr", "width"}
    assert strongest.importance > 0.4


def test_where_all_scores_are_alike_nothing_matters() -> None:
    found = report(lambda _: 0.1, n=20)
    assert [row.importance for row in found.parameters] == [0.0] * 5
    assert all("makes little difference" in row.advice for row in found.parameters)


@pytest.mark.parametrize("n", [40, 80])
def test_a_cliff_is_no_interaction(n: int) -> None:
    """It is as high on any grid, but not as much of one: taken from two grids, pairs had half of the variance."""
    found = report(lambda p: 0.9 - 0.05 * (log_lr(p) > -1.5) - 0.02 * float(p["dropout"]), n=n)  # type: ignore[arg-type]
    alone = sum(row.importance for row in found.parameters)
    together = sum(pair.importance for pair in found.interactions)
    assert alone > 0.8
    assert alone + together <= 1 + 1e-9
    assert together < 0.1


def test_diverged_trials_say_what_the_range_is_not_for() -> None:
    found = report(lambda p: None if log_lr(p) > -1.5 else 0.8 + 0.01 * (log_lr(p) + 5))
    assert found.parameters[0].parameter == "lr"
    assert "the range above" in found.parameters[0].advice


def test_a_parameter_under_a_condition_is_judged_where_it_is_active() -> None:
    found = report(lambda p: float(p.get("momentum", 0.7)), n=400)  # type: ignore[arg-type]
    momentum = next(row for row in found.parameters if row.parameter == "momentum")
    scores = [point.score for point in momentum.effect]
    assert scores[-1] - scores[0] > 0.2
    assert momentum.best_low is not None
    assert momentum.best_low > 0.8


def test_noise_is_called_noise() -> None:
    random = iter(range(10_000))
    found = report(lambda _: (next(random) * 7919 % 1000) / 1000)
    assert found.fit is not None
    assert found.fit < 0.2
    assert "grain of salt" in found.notes[0]


def test_too_few_trials_and_nothing_searched_are_said() -> None:
    assert "too few" in report(log_lr, n=5).notes[0]
    fixed = importance_report("s", ACCURACY, 0, Space(parameters={}), [])
    assert "Nothing was searched" in fixed.notes[0]


def test_disasters_do_not_outweigh_everything() -> None:
    # one trial in twenty explodes by chance; the rest depends on dropout
    count = iter(range(10_000))
    found = report(lambda p: 1e9 if next(count) % 20 == 0 else float(p["dropout"]), RMSE)  # type: ignore[arg-type]
    assert found.parameters[0].parameter == "dropout"
    assert found.parameters[0].importance > 0.5


def test_it_agrees_with_optunas_analysis() -> None:
    def score(p: Params) -> float:
        return float(p["input_dropout"]) + 0.6 * float(p["dropout"]) + 0.3 * (p["optimizer"] == "sgd")  # type: ignore[arg-type]

    # without log ranges, for Optuna's analysis is one over the plain values
    plain = Space(parameters={"dropout": SPACE.parameters["dropout"], "optimizer": SPACE.parameters["optimizer"],
                              "input_dropout": FloatRange(low=0.0, high=0.9)})  # fmt: skip
    records = history(score, 300, plain)
    ours = anova(table_of(plain, Evidence.of(records), Direction.MINIMIZE)).importance
    theirs = _optunas(records)
    total = sum(ours.values())
    for name, share in theirs.items():
        assert ours[name] / total == pytest.approx(share, abs=0.06)


def _optunas(records: list[TrialRecord]) -> dict[str, float]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    distributions: dict[str, Any] = {
        "input_dropout": FloatDistribution(0.0, 0.9),
        "dropout": FloatDistribution(0.0, 0.8),
        "optimizer": CategoricalDistribution(["adam", "sgd", "rmsprop"]),
    }
    study = optuna.create_study()
    for record in records:
        study.add_trial(
            optuna.trial.create_trial(params=dict(record.params), distributions=distributions, value=record.score)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


def test_the_child_says_the_same_and_ten_thousand_trials_are_no_trouble() -> None:
    records = history(lambda p: -abs(log_lr(p) + 3), 10_000)
    found = report_in_child("s-1", ACCURACY, 0, SPACE, records)
    assert found == importance_report("s-1", ACCURACY, 0, SPACE, records)
    assert found.trials == 10_000
    assert found.parameters[0].parameter == "lr"


def test_losses_are_bounded_above_alone() -> None:
    import numpy as np

    losses = np.array([1.0, 2, 3, 4, 1e9, math.inf])
    assert bounded(losses).max() < 1e9
    assert bounded(losses)[:4].tolist() == [1, 2, 3, 4]


def test_the_stage_that_trained_longest_is_looked_at_if_it_has_enough() -> None:
    many, few = history(log_lr, 30), history(log_lr, 5)
    assert subject_stage([many, many, few]) == 1
    assert subject_stage([few, few[:2]]) == 0
