"""Choices are compared with everything else optimised, and as if each had had as many trials."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from foldstep.service.analysis.compare import compare
from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.planner.random import random_params
from tests.service.planner.spaces import finished

SPACE = Space(
    parameters={
        "optimizer": Choices(choices=["adam", "sgd"]),
        "lr": FloatRange(low=1e-4, high=1.0, log=True),
        "depth": IntRange(low=1, high=9),
        "seed": IntRange(low=0, high=9),
    }
)
ACCURACY = MetricSpec(name="accuracy")


def test_the_better_choice_is_told_though_a_bad_rate_hides_it_on_average() -> None:
    # sgd is better at its best rate, but most rates are bad for it
    def score(p: Params) -> float:
        place = math.log10(float(p["lr"]))  # type: ignore[arg-type]
        return 0.9 - 0.4 * abs(place + 0.5) if p["optimizer"] == "sgd" else 0.8 - 0.01 * abs(place + 3)

    drawn = [random_params(SPACE, 0, n) for n in range(200)]
    records = [finished(n, p, score(p), spread=0.01) for n, p in enumerate(drawn)]
    found = compare("s", ACCURACY, "optimizer", SPACE, records)
    means = {v: np.mean([r.score for r in records if r.params["optimizer"] == v]) for v in ("adam", "sgd")}
    assert means["sgd"] < means["adam"], "the average must mislead for this test"
    assert [c.value for c in found.contenders] == ["sgd", "adam"]
    assert found.nuisance == ["lr", "depth"]
    assert "sgd is better" in found.sentence


def test_expected_best_of_equally_many_is_the_mean_over_all_draws() -> None:
    scores = {"adam": [0.1, 0.5, 0.9, 0.3], "sgd": [0.6, 0.2]}
    numbers = itertools.count()
    records = [
        finished(next(numbers), {"optimizer": name, "lr": 0.1, "depth": 1}, s)
        for name, all_ in scores.items()
        for s in all_
    ]
    found = compare("s", ACCURACY, "optimizer", SPACE, records)
    assert found.equal == 2
    for contender in found.contenders:
        draws = list(itertools.product(scores[str(contender.value)], repeat=2))
        assert contender.expected == pytest.approx(np.mean([max(d) for d in draws]))
        assert contender.best == max(scores[str(contender.value)])


@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
def test_the_best_comes_first_whichever_way_is_better(metric: str) -> None:
    records = [finished(i, {"optimizer": ("adam", "sgd")[i % 2]}, i % 2 + i / 100) for i in range(10)]
    found = compare("s", MetricSpec(name=metric), "optimizer", SPACE, records)  # type: ignore[arg-type]
    assert found.contenders[0].value == ("sgd" if metric == "accuracy" else "adam")
    assert found.contenders[0].best == (1.09 if metric == "accuracy" else 0.0)


def test_within_the_folds_spread_there_is_no_winner() -> None:
    records = [finished(i, {"optimizer": ("adam", "sgd")[i % 2]}, 0.5 + (i % 2) / 100, spread=0.05) for i in range(10)]
    assert "no clear winner" in compare("s", ACCURACY, "optimizer", SPACE, records).sentence


def test_diverged_trials_are_counted_and_one_sided_searches_said() -> None:
    records = [finished(i, {"optimizer": ("adam", "sgd")[i % 2]}, None if i % 2 else 0.5) for i in range(10)]
    found = compare("s", ACCURACY, "optimizer", SPACE, records)
    assert {c.value: (c.trials, c.diverged) for c in found.contenders} == {"adam": (5, 0), "sgd": (5, 5)}
    assert "too few" in found.sentence


def test_failed_trials_say_nothing_of_a_choice() -> None:
    records = [finished(i, {"optimizer": ("adam", "sgd")[i % 2]}, 0.5 + i / 100) for i in range(10)]
    failed = [finished(10 + i, {"optimizer": "sgd"}, None, state="failed") for i in range(3)]
    assert compare("s", ACCURACY, "optimizer", SPACE, [*records, *failed]) == compare(
        "s", ACCURACY, "optimizer", SPACE, records
    )


def test_a_range_is_cut_into_thirds_of_its_scale() -> None:
    drawn = [random_params(SPACE, 0, n) for n in range(60)]
    records = [finished(n, p, float(p["lr"])) for n, p in enumerate(drawn)]  # type: ignore[arg-type]
    found = compare("s", ACCURACY, "lr", SPACE, records)
    assert [c.value for c in found.contenders] == ["0.0464 to 1", "0.00215 to 0.0464", "0.0001 to 0.00215"]
    assert sum(c.trials for c in found.contenders) == 60
    few = Space(parameters={"depth": IntRange(low=1, high=2)})
    by_depth = compare("s", ACCURACY, "depth", few, [finished(i, {"depth": 1 + i % 2}, 0.5) for i in range(4)])
    assert {c.value for c in by_depth.contenders} == {"1", "2"}
