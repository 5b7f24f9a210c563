"""`importance`, `compare` and `export` at a terminal, on a real search."""

from __future__ import annotations

import json
import math
from statistics import fmean

import optuna
import pytest

from foldstep.service.contract.leaderboard import SearchView
from tests.foldstep.conftest import Desk, refused
from tests.foldstep.test_run import table

LR = {"low": 1e-5, "high": 30.0, "log": True}


@pytest.fixture(scope="module")
def searched(busy_desk: Desk) -> SearchView:
    table(busy_desk.folder)
    spec = {
        "name": "insight", "data": {"dataset": "table.csv", "target": "target"}, "cv": {"folds": 2},
        "parameters": {
            "lr": LR, "optimizer": ["adam", "sgd"], "epochs": 4, "batch_size": 16, "depth": [0, 1],
            "hidden": {"choices": [[8], [16, 8]]},
        },
        "budget": {"trials": 30},
    }  # fmt: skip
    del spec["parameters"]["depth"]  # type: ignore[attr-defined]
    search = busy_desk.master.wait(busy_desk.master.submit(spec).id)
    assert search.state == "completed"
    return search


def test_importance_names_the_rate_first(busy_desk: Desk, searched: SearchView) -> None:
    done = busy_desk("importance", searched.id)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "30 trials" in lines[0]
    first = next(line for line in lines if "█" in line)
    assert "lr" in first
    assert any(line.startswith("• lr: ") for line in lines)


def test_importance_as_json_has_every_effect(busy_desk: Desk, searched: SearchView) -> None:
    report = json.loads(busy_desk("importance", searched.id, "--json").stdout)
    by_name = {row["parameter"]: row for row in report["parameters"]}
    assert set(by_name) == {"lr", "optimizer", "hidden"}
    assert [point["value"] for point in by_name["hidden"]["effect"]] == [[8], [16, 8]]
    assert all(LR["low"] < point["value"] < LR["high"] for point in by_name["lr"]["effect"])  # type: ignore[operator]


def test_compare_shows_both_choices(busy_desk: Desk, searched: SearchView) -> None:
    done = busy_desk("compare", searched.id, "--by", "optimizer")
    assert done.returncode == 0, done.stderr
    assert "adam" in done.stdout
    assert "sgd" in done.stdout
    assert "• optimizer: of" in done.stdout
    found = json.loads(busy_desk("compare", searched.id, "--by", "optimizer", "--json").stdout)
    best = {c["value"]: c["best"] for c in found["contenders"]}
    rows = busy_desk.master.all_trials(searched.id)
    for name in ("adam", "sgd"):
        assert best[name] == max(row.score for row in rows if row.params["optimizer"] == name and row.score is not None)


def test_compare_by_what_was_not_searched_is_refused(busy_desk: Desk, searched: SearchView) -> None:
    done = busy_desk("compare", searched.id, "--by", "optimiser")
    refused(done, "by", "optimiser", "did you mean optimizer?", code="invalid_input")


def test_an_exported_study_is_opened_by_optuna(busy_desk: Desk, searched: SearchView) -> None:
    done = busy_desk("export", searched.id, "--optuna", "sqlite:///study.db")
    assert done.returncode == 0, done.stderr
    assert "30 trials" in done.stdout
    study = optuna.load_study(study_name=searched.id, storage=f"sqlite:///{busy_desk.folder / 'study.db'}")
    assert searched.best is not None
    assert study.best_value == searched.best.score
    rows = {row.trial: row for row in busy_desk.master.all_trials(searched.id)}
    assert len(study.trials) == len(rows) == 30
    for trial in study.trials:
        row = rows[trial.user_attrs["foldstep_trial"]]
        assert trial.params["lr"] == row.params["lr"]
        assert json.loads(trial.params["hidden"]) == row.params["hidden"]
        assert trial.distributions["lr"] == optuna.distributions.FloatDistribution(1e-5, 30.0, log=True)
        assert trial.state.name == ("COMPLETE" if row.state == "completed" else "FAIL")
        curves = busy_desk.master.curves(searched.id, row.trial).curves
        for epoch, value in trial.intermediate_values.items():
            scores = [curve.score[epoch - 1] for curve in curves.values()]
            assert value == pytest.approx(fmean(s for s in scores if s is not None))
    assert optuna.importance.get_param_importances(study), "Optuna's own tools work on it"
    assert all(math.isfinite(t.value) for t in study.trials if t.value is not None)


def test_a_study_is_not_written_twice(busy_desk: Desk, searched: SearchView) -> None:
    assert busy_desk("export", searched.id, "--optuna", "sqlite:///twice.db").returncode == 0
    refused(busy_desk("export", searched.id, "--optuna", "sqlite:///twice.db"), "twice.db", code="conflict")


def test_a_storage_that_is_none_is_refused(busy_desk: Desk, searched: SearchView) -> None:
    refused(busy_desk("export", searched.id, "--optuna", "nonsense"), "nonsense", "sqlite:///", code="invalid_input")
    refused(
        busy_desk("export", searched.id, "--optuna", "sqlite:////no/such/folder/s.db"), "no/such", code="invalid_input"
    )
    refused(busy_desk("importance", "nothing-000000"), "nothing-000000", code="not_found")
