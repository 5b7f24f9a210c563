"""At a terminal: the baseline beside the leaderboard, unequal classes, metrics that a fold cannot have or has not."""

from __future__ import annotations

import json
import random
import sqlite3
from typing import Any

import pytest
import yaml

from tests.foldstep.conftest import Desk, refused


def submit(desk: Desk, name: str, **parts: Any) -> str:
    data = {"dataset": f"{name}.csv", "target": "y"}
    parameters = {"lr": [1e-3, 1e-2], "hidden": [8], "epochs": 3, "batch_size": 16}
    spec = {"name": name, "method": "grid", "data": data, "cv": {"folds": 2}, "parameters": parameters, **parts}
    return desk.write(f"{name}.yaml", yaml.safe_dump(spec))


@pytest.fixture(scope="module")
def unequal(busy_desk: Desk) -> str:
    rng = random.Random(1)
    rows = [f"{rng.random():.4f},{'left' if i % 20 == 7 else 'stayed'}" for i in range(100)]
    busy_desk.write("unequal.csv", "\n".join(["x,y", *rows]) + "\n")
    done = busy_desk("submit", submit(busy_desk, "unequal"), "--watch")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_unequal_classes_are_said_and_the_baseline_stands_beside_the_leaderboard(busy_desk: Desk, unequal: str) -> None:
    said = " ".join(unequal.split())
    assert "Class stayed has 95 % of the rows: a constant answer has accuracy 0.95" in said
    (search,) = [s for s in busy_desk.master.searches() if s.name == "unequal"]
    assert search.baseline == pytest.approx(0.95)
    assert busy_desk.master.leaderboard(search.id).baseline == search.baseline
    shown = " ".join(busy_desk("leaderboard", search.id).stdout.split())
    assert "baseline 0.95" in shown
    assert ": the constant answer; 2 of these trials are no better." in shown
    trial = " ".join(busy_desk("show", search.id, "0").stdout.split())
    assert "the constant answer: this trial is no better" in trial


def test_a_metric_that_a_fold_cannot_have_is_refused_before_any_training(busy_desk: Desk) -> None:
    rows = [f"{i / 7},{'b' if i < 20 else 'ab'[i % 2]},{'one' if i < 20 else 'two'}" for i in range(60)]
    busy_desk.write("sites.csv", "\n".join(["x,y,f", *rows]) + "\n")
    done = busy_desk("submit", submit(busy_desk, "sites", cv={"column": "f"}, metric="roc_auc"))
    refused(done, "metric.name", "the class b in all 20 rows of fold 0 (f = one)", "log_loss", code="spec_invalid")
    assert not [s for s in busy_desk.master.searches() if s.name == "sites"]


def test_an_undefined_metric_is_told_as_one(busy_desk: Desk) -> None:
    """Networks that begin far off have errors whose squares no double holds; the constant answer's fit."""
    rng = random.Random(2)
    rows = [f"{rng.random()},{rng.gauss(0, 1) * 3e152}" for _ in range(60)]
    busy_desk.write("huge.csv", "\n".join(["x,y", *rows]) + "\n")
    parameters = {"lr": 1e-6, "init_gain": [0.01, 12.0], "hidden": [[32, 32]], "epochs": 3, "batch_size": 16}
    file = submit(busy_desk, "huge", metric="rmse", parameters=parameters)
    done = busy_desk("submit", file, "--watch")
    assert done.returncode == 0, done.stderr
    (search,) = [s for s in busy_desk.master.searches() if s.name == "huge"]
    assert search.counts == {"completed": 1, "undefined": 1}
    rows_of = json.loads(busy_desk("leaderboard", search.id, "--json").stdout)["rows"]
    (undefined,) = [row for row in rows_of if row["state"] == "undefined"]
    assert (undefined["rank"], undefined["score"]) == (None, None)
    shown = " ".join(busy_desk("leaderboard", search.id).stdout.split())
    assert "undefined: the metric has no value; `foldstep show` with the trial says why." in shown
    trial = " ".join(busy_desk("show", search.id, str(undefined["trial"])).stdout.split())
    assert "metric undefined: In epoch 1 of fold" in trial
    assert "rmse is undefined" in trial
    assert "did not diverge" in trial
    again = busy_desk("rerun", search.id, str(undefined["trial"]))
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_search_of_an_earlier_version_has_no_baseline(busy_desk: Desk, unequal: str) -> None:  # noqa: ARG001
    (search,) = [s for s in busy_desk.master.searches() if s.name == "unequal"]
    with sqlite3.connect(next((busy_desk.folder / "data").glob("*.db"))) as database:
        (problem,) = database.execute("SELECT problem FROM searches WHERE id = ?", [search.id]).fetchone()
        stored = {**json.loads(problem), "baseline": None}  # as the upgrade to 0011 leaves it
        database.execute("UPDATE searches SET problem = ? WHERE id = ?", [json.dumps(stored), search.id])
    assert busy_desk.master.search(search.id).baseline is None
    assert "baseline" not in busy_desk("leaderboard", search.id).stdout
