"""The report on features: its truth where that is known, its curves, and how it is asked for."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.feature_report import N_POINTS, FeatureImportance, FeatureReport
from foldstep.service.contract.numbers import score
from tests.foldstep.conftest import Desk
from tests.foldstep.test_ensemble import CASES, search_of

N_ROWS = 600
CITIES = ["Bonn", "Köln", "Ulm"]


def known_table() -> str:
    """The number `much` is 10 x and a step with the city; noise, day and copy tell nothing more."""
    rng = random.Random(3)
    rows = ["x,noise,city,day,kind,much"]
    for _ in range(N_ROWS):
        x, city = rng.uniform(-1, 1), rng.choice(CITIES)
        much = 10 * x + 4 * (city == "Ulm")
        day = f"2024-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        rows.append(f"{x:.4f},{rng.gauss(0, 1):.4f},{city},{day},{'abcdefg'[int((x + 1) * 3.49)]},{much:.4f}")
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def known(busy_desk: Desk) -> dict[str, FeatureReport]:
    busy_desk.write("known.csv", known_table())
    parameters = {"lr": [0.01, 0.02], "width": 16, "epochs": 40, "batch_size": 32}
    found = {}
    for target, ignored in (("much", "kind"), ("kind", "much")):
        spec: dict[str, Any] = {
            "name": f"known-{target}", "seed": 1, "method": "random", "parameters": parameters,
            "data": {"dataset": "known.csv", "target": target, "ignore": [ignored]},
            "cv": {"folds": 3}, "budget": {"trials": 2},
        }  # fmt: skip
        search = busy_desk.master.wait(busy_desk.master.submit(spec).id)
        assert search.state == "completed", search.notes
        found[target] = busy_desk.master.features(search.id)
    return found


def by_column(report: FeatureReport) -> dict[str, FeatureImportance]:
    return {feature.column: feature for feature in report.features}


def test_the_columns_that_the_target_is_made_of_come_first(known: dict[str, FeatureReport]) -> None:
    """Permuting x leaves an error of 10 (x - x'): rmse √(100 · 2/3) = 8.2 (the city's 4 has √(16 · 2 · 2/9) = 2.7)."""
    report = known["much"]
    assert [feature.column for feature in report.features][:2] == ["x", "city"]
    found = by_column(report)
    assert report.score is not None
    assert report.score < 1.0
    for column, loss in (("x", 8.2), ("city", 2.7)):
        increase, deviation = found[column].increase, found[column].deviation
        assert increase is not None
        assert deviation is not None
        assert increase == pytest.approx(loss - report.score, abs=4 * deviation / np.sqrt(15) + 0.5)
        assert increase > 4 * deviation


def test_a_column_that_tells_nothing_is_within_its_spread_of_zero(known: dict[str, FeatureReport]) -> None:
    for column in ("noise", "day"):
        feature = by_column(known["much"])[column]
        assert feature.increase is not None
        assert feature.deviation is not None
        assert abs(feature.increase) < max(2 * feature.deviation, 0.05)
        assert abs(feature.increase) < 0.03 * (known["much"].features[0].increase or 0.0)


def test_curves_show_what_the_target_is_made_of(known: dict[str, FeatureReport]) -> None:
    found = by_column(known["much"])
    curve = found["x"].curve
    assert curve is not None
    assert len(curve.values) == N_POINTS
    # the city's mean is a third of 4
    assert curve.means["much"] == pytest.approx([10 * float(x) + 4 / 3 for x in curve.values], abs=1.0)
    steps = found["city"].curve
    assert steps is not None
    assert sorted(map(str, steps.values)) == CITIES
    of_city = dict(zip(steps.values, steps.means["much"], strict=True))
    assert of_city["Ulm"] == pytest.approx((of_city["Bonn"] or 0) + 4, abs=0.7)
    day = found["day"].curve
    assert day is not None
    assert all(str(value).startswith("2024-") for value in day.values)
    assert [found[name].kind for name in ("x", "city", "day")] == ["number", "category", "date"]


def test_of_classes_there_is_the_probability_of_the_most_frequent_ones(known: dict[str, FeatureReport]) -> None:
    report = known["kind"]
    curve = report.features[0].curve
    assert report.features[0].column == "x"
    assert curve is not None
    assert len(curve.means) == 5
    assert "Curves tell of the 5 most frequent of 7 classes." in report.notes
    probabilities = np.array(list(curve.means.values()), dtype=float)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (probabilities.sum(axis=0) <= 1 + 1e-9).all()


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_target_has_a_report(busy_desk: Desk, case: str) -> None:
    search = search_of(busy_desk, case)
    report = busy_desk.master.features(search.id)
    ensemble = busy_desk.master.ensemble(search.id)
    assert ensemble is not None
    assert report.score == pytest.approx(ensemble.score, rel=1e-4)  # few rows: the same ones
    assert {feature.column for feature in report.features} == {"x", "z", "city"}
    assert all(feature.curve is not None and feature.increase is not None for feature in report.features)
    assert report == busy_desk.master.features(search.id)


def test_the_command_shows_it(busy_desk: Desk, known: dict[str, FeatureReport]) -> None:
    report = known["much"]
    done = busy_desk("features", report.search, "--curves")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert next(i for i, row in enumerate(rows) if "x" in row) < next(i for i, row in enumerate(rows) if "noise" in row)
    assert "Mean prediction by city" in done.stdout
    assert "Mean prediction" not in busy_desk("features", report.search).stdout
    assert f"rmse {score(report.score)} on out-of-fold rows" in done.stdout
    assert report.chosen in " ".join(done.stdout.split())
    as_json = busy_desk("features", report.search, "--json")
    assert FeatureReport.model_validate_json(as_json.stdout) == report


def test_a_search_without_networks_has_none(desk: Desk) -> None:
    desk.write("table.csv", known_table())
    spec = {
        "name": "new", "data": {"dataset": "table.csv", "target": "much"}, "method": "random",
        "parameters": {"lr": [0.1]}, "budget": {"trials": 1}, "checkpoints": {"keep": 0},
    }  # fmt: skip
    search = desk.master.submit(spec)
    with pytest.raises(InvalidInput, match=r"nothing to predict with|keeps no checkpoints"):
        desk.master.features(desk.master.stop(search.id).id)
