"""Searches that follow others: the best trials with other seeds, and nested cross-validation."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.leaderboard import SearchView
from tests.foldstep.conftest import Desk, busy_desk, desk
from tests.foldstep.test_ensemble import ALL, table

__all__ = ["busy_desk", "desk"]

PARAMETERS = {"lr": {"low": 0.01, "high": 0.1, "log": True}, "width": [4, 8], "epochs": 6, "batch_size": 16}


def submitted(desk: Desk, **changes: Any) -> SearchView:
    desk.write("table.csv", table())
    spec = {
        "name": "first", "seed": 2, "method": "random", "budget": {"trials": 6}, "cv": {"folds": 3},
        "data": {"dataset": "table.csv", "target": "much", "ignore": [n for n in ALL if n != "much"]},
        "parameters": PARAMETERS, **changes,
    }  # fmt: skip
    return desk.master.submit(spec)


def ended(desk: Desk, search: SearchView) -> list[SearchView]:
    """Wait for a search and all that follow it."""
    first = desk.master.wait(search.id)
    followers = []
    for purpose in first.followers:
        follower = desk.master.search(search.id).followers[purpose]
        assert follower is not None, purpose
        followers.append(desk.master.wait(follower))
    return followers


def test_the_best_are_trained_again_with_other_seeds(busy_desk: Desk) -> None:
    master = busy_desk.master
    first = submitted(busy_desk, final={"reseed": {"top": 2, "seeds": 3}})
    assert first.followers == {"reseed": None}
    (again,) = ended(busy_desk, first)
    assert again.follows == first.id
    assert again.purpose == "reseed"
    ranked = master.all_trials(first.id)
    trials = master.all_trials(again.id, order_by="number")
    assert [t.params for t in trials] == [{**ranked[i].params, "seed": seed} for i in range(2) for seed in (3, 4, 5)]
    report = master.final(first.id).reseed
    assert report is not None
    assert {row.trial for row in report.trials} == {ranked[0].trial, ranked[1].trial}
    own = next(row for row in report.trials if row.trial == ranked[0].trial)
    expected = [np.mean([score for score in t.folds if score is not None]) for t in trials[:3]]
    assert sorted(own.again) == pytest.approx(sorted(expected))
    assert own.mean == pytest.approx(np.mean(expected))
    assert own.spread == pytest.approx(np.std(expected, ddof=1))
    assert own.score == ranked[0].score
    assert report.winner.trial == report.trials[0].trial
    assert f"3 other seeds trial {ranked[0].trial}" in report.sentences[0]
    # the first search ends as it would without: its trials, its budget, its winner
    assert len(ranked) == 6
    alone = master.wait(submitted(busy_desk).id)
    assert [t.score for t in master.all_trials(alone.id)] == [t.score for t in ranked]


def test_a_trial_with_the_same_seed_would_be_the_same(busy_desk: Desk) -> None:
    """What differs with other seeds is chance alone: the seed of the search gives the score of the search."""
    master = busy_desk.master
    first = submitted(busy_desk, final={"reseed": {"top": 1, "seeds": 2}})
    (again,) = ended(busy_desk, first)
    best = master.all_trials(first.id)[0]
    scores = {trial.score for trial in master.all_trials(again.id)}
    assert best.score not in scores
    assert len(scores) == 2
    fixed = {name: value for name, value in best.params.items() if name != "seed"}
    same = master.wait(submitted(busy_desk, parameters=fixed, budget={"trials": 1}).id)
    assert master.all_trials(same.id)[0].score == best.score


def test_outer_folds_hold_each_row_out_once_from_the_whole_search(busy_desk: Desk) -> None:
    master = busy_desk.master
    data = {"dataset": "table.csv", "target": "kind", "ignore": [n for n in ALL if n != "kind"]}
    first = submitted(busy_desk, cv={"folds": 3, "outer": 3}, data=data)
    parts = ended(busy_desk, first)
    assert [part.purpose for part in parts] == ["outer-1", "outer-2", "outer-3"]
    for before, after in zip([master.search(first.id), *parts], parts, strict=False):
        assert after.created_at >= before.finished_at  # type: ignore[operator]
    held_out = []
    rows = list(csv.DictReader(io.StringIO(table())))
    for part in parts:
        assert part.best is not None
        seen = set(master.predictions(part.id, part.best.trial).rows)
        out = sorted(set(range(120)) - seen)
        held_out += out
        kinds = [rows[row]["kind"] for row in out]
        for kind in "abc":  # in proportion to the classes
            assert abs(kinds.count(kind) - sum(row["kind"] == kind for row in rows) / 3) < 1
    assert sorted(held_out) == list(range(120))
    assert master.final(first.id).outer is not None
    master.finalize(first.id)
    report = master.final(first.id).outer
    assert report is not None
    assert [one.search for one in report.scores] == [part.id for part in parts]
    scores = [master.final(part.id).model.test.score for part in parts]  # type: ignore[union-attr]
    assert report.mean == pytest.approx(np.mean(scores))
    assert report.standard_error == pytest.approx(np.std(scores, ddof=1) / np.sqrt(3))
    assert "3 outer folds" in report.sentences[0]


def test_whole_groups_are_held_out(busy_desk: Desk) -> None:
    master = busy_desk.master
    lines = table().splitlines()
    grouped = [f"{line},{'group' if i == 0 else f'g{i % 10}'}" for i, line in enumerate(lines)]
    busy_desk.write("grouped.csv", "\n".join(grouped) + "\n")
    data = {"dataset": "grouped.csv", "target": "much", "ignore": [n for n in ALL if n != "much"]}
    first = submitted(busy_desk, cv={"folds": 2, "group": "group", "outer": 2}, data=data, budget={"trials": 1})
    for part in ended(busy_desk, first):
        assert part.best is not None
        seen = master.predictions(part.id, part.best.trial).rows
        groups = {(row + 1) % 10 for row in seen}
        assert all(((row + 1) % 10 in groups) == (row in set(seen)) for row in range(120))
        assert len(groups) == 5


def test_a_stopped_search_is_followed_by_none(busy_desk: Desk) -> None:
    first = submitted(busy_desk, budget={"trials": 500}, final={"reseed": {}}, cv={"folds": 3, "outer": 2})
    stopped = busy_desk.master.stop(first.id)
    assert stopped.followers == {"reseed": None, "outer-1": None, "outer-2": None}


@pytest.mark.parametrize(
    ("cv", "data", "code"),
    [
        ({"folds": 3, "outer": 3}, {"test": 0.2}, "contradiction"),
        ({"folds": 3, "outer": 3, "time": "x"}, {}, "contradiction"),
        ({"column": "city", "outer": 3}, {}, "contradiction"),
        ({"folds": 3, "outer": 100}, {}, "too_few"),
        ({"folds": 3, "outer": 1}, {}, "out_of_domain"),
    ],
)
def test_outer_folds_that_cannot_be_are_refused(desk: Desk, cv: Any, data: Any, code: str) -> None:
    base = {"dataset": "table.csv", "target": "kind", "ignore": [n for n in ALL if n not in ("kind", "city")]}
    with pytest.raises(SpecInvalid) as refused:
        submitted(desk, cv=cv, data={**base, **data})
    assert code in [fault.code for fault in refused.value.faults]
    assert any(fault.path.startswith("cv") for fault in refused.value.faults)


def test_run_waits_for_all_and_tells_what_they_found(desk: Desk, tmp_path: Any) -> None:
    busy = Desk(tmp_path, desk.processes, desk.master)
    busy.write("table.csv", table())
    ignored = ", ".join(n for n in ALL if n != "much")
    busy.write(
        "spec.yaml",
        f"name: whole\nmethod: random\nbudget: {{trials: 3}}\ncv: {{folds: 2, outer: 2}}\n"
        f"data: {{dataset: table.csv, target: much, ignore: [{ignored}]}}\n"
        "final: {reseed: {top: 1, seeds: 2}}\n"
        "parameters: {lr: [0.01, 0.03, 0.1], width: 4, epochs: 3, batch_size: 32}\n",
    )
    done = busy("run", "spec.yaml", "--workers", "1")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "With 2 other seeds trial" in words
    assert "Nested cross-validation, 2 outer folds: rmse" in words
