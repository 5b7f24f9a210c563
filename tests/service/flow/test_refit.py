"""The refit of a search: the trials that predict, trained again on more of the rows, and what predicts then."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

import foldstep
from foldstep.committee import Committee
from foldstep.ensemble import Ensemble
from foldstep.models.checkpoint import Arrays, read_arrays
from foldstep.prediction import predict_file
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.out_of_fold import TEST, FoldPredictions
from tests.foldstep.conftest import Desk, busy_desk, desk
from tests.foldstep.predicting import predict
from tests.foldstep.test_ensemble import ALL, table
from tests.service.flow.test_follow import ended, submitted

__all__ = ["busy_desk", "desk"]

HELD_OUT = {"dataset": "table.csv", "target": "much", "ignore": [n for n in ALL if n != "much"], "test": 0.2}


def weights_of(search: SearchView, checkpoints: list[str]) -> list[Arrays]:
    return [read_arrays(str(Path(search.checkpoint_dir) / name), "0") for name in checkpoints]


def said_by(search: SearchView, checkpoints: list[str], folder: Path) -> Any:
    """Predict the table with the mean of some networks."""
    (folder / "rows.csv").write_text(table())
    files = [Path(search.checkpoint_dir) / name for name in checkpoints]
    found = predict_file(Ensemble.load([Committee(1.0, files)]), folder / "rows.csv", proba=False)
    return np.array(found.columns["much"], float)


@pytest.fixture(scope="module")
def refitted(busy_desk: Desk) -> tuple[SearchView, SearchView]:
    """A search with a test part, and its refit."""
    first = submitted(busy_desk, name="again", data=HELD_OUT, final={"refit": {"seeds": 2}})
    assert first.followers == {"refit": None}
    (refit,) = ended(busy_desk, first)
    return busy_desk.master.search(first.id), refit


def test_each_network_is_what_a_search_on_these_rows_trains(
    busy_desk: Desk, refitted: tuple[SearchView, SearchView]
) -> None:
    master = busy_desk.master
    first, refit = refitted
    assert (refit.purpose, refit.follows, refit.n_folds, refit.state) == ("refit", first.id, 2, "completed")
    assert refit.refits is not None
    assert refit.refits.share == 0.9
    ensemble = master.ensemble(first.id)
    assert ensemble is not None
    assert list(refit.refits.trials) == [member.trial for member in ensemble.members]
    assert sum(refit.counts.values()) == len(ensemble.members)
    for number, place in refit.refits.trials.items():
        own, again = master.trial(first.id, number), master.trial(refit.id, place)
        assert again.params == own.params
        fixed = {name: value for name, value in own.params.items() if name != "seed"}
        cv = {"holdout": 0.1, "repeats": 2}
        plain = submitted(busy_desk, name="plain", data=HELD_OUT, parameters=fixed, budget={"trials": 1}, cv=cv)
        (oracle,) = master.all_trials(master.wait(plain.id).id)
        expected = weights_of(plain, oracle.checkpoints)
        for one, other in zip(weights_of(refit, again.checkpoints), expected, strict=True):
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not all(np.array_equal(expected[0][name], expected[1][name]) for name in expected[0])


def test_the_search_before_is_the_same_to_the_bit(busy_desk: Desk, refitted: tuple[SearchView, SearchView]) -> None:
    master = busy_desk.master
    first, _ = refitted
    alone = master.wait(submitted(busy_desk, name="alone", data=HELD_OUT).id)
    with_refit, without = master.all_trials(first.id), master.all_trials(alone.id)
    assert [(t.trial, t.params, t.folds) for t in with_refit] == [(t.trial, t.params, t.folds) for t in without]
    for own, other in zip(with_refit, without, strict=True):
        pairs = zip(weights_of(first, own.checkpoints), weights_of(alone, other.checkpoints), strict=True)
        assert all(np.array_equal(a[name], b[name]) for a, b in pairs for name in a)


def test_the_test_part_is_scored_by_its_networks(busy_desk: Desk, refitted: tuple[SearchView, SearchView]) -> None:
    first, refit = refitted
    model = busy_desk.master.finalize(first.id)
    assert model.refit == refit.id
    assert model.test is not None
    said = np.zeros(model.test.n_rows)
    for member in model.members:
        files = [Path(refit.checkpoint_dir) / name for name in member.checkpoints]
        networks = [FoldPredictions.of(read_arrays(str(file), TEST), TEST) for file in files]
        assert len(networks) == 2
        said += member.weight * np.mean([one.predictions[:, 0] for one in networks if one is not None], axis=0)
    assert networks[0] is not None
    assert model.test.score == pytest.approx(root_mean_squared_error(networks[0].truth, said), rel=1e-5)
    assert f"with the networks of {refit.id}: each trial is trained again with 2 seeds on 90% of" in model.sentences[0]
    assert "out of fold the networks of the folds had" in model.sentences[1]
    assert busy_desk.master.finalize(first.id) == model


def test_every_way_to_predict_takes_its_networks(
    busy_desk: Desk, refitted: tuple[SearchView, SearchView], tmp_path: Path
) -> None:
    first, refit = refitted
    model = busy_desk.master.finalize(first.id)
    assert model.test is not None
    total = sum(one.weight * said_by(refit, one.checkpoints, tmp_path) for one in model.members)
    options = ["--dir", str(busy_desk.folder / "data")]
    (_, *by_name), _ = predict(first.id, table(), tmp_path, *options)
    np.testing.assert_allclose(np.array(by_name, float)[:, 0], total, rtol=1e-9)
    rows = list(csv.DictReader(io.StringIO(table())))
    by_rest = busy_desk.master.predict(first.id, rows)
    np.testing.assert_allclose(np.array(by_rest.columns["much"], float), total, rtol=1e-9)
    assert "refitted on 90% of the rows" in by_rest.chosen
    home = tmp_path / "m.foldstep"
    done = busy_desk("export", first.id, "--format", "foldstep", "--out", str(home))
    assert "refitted on 90% of the rows" in done.stderr + done.stdout
    loaded = foldstep.load(home)
    columns = {name: [row[name] for row in rows] for name in ("x", "z", "city")}
    np.testing.assert_allclose(loaded.predict(columns), total, rtol=1e-9)
    assert (loaded.card["refit"], loaded.card["test"]["score"]) == (refit.id, model.test.score)
    assert {one["networks"] for one in loaded.card["members"]} == {2}
    with zipfile.ZipFile(home) as archive:
        assert f"trained again by {refit.id}" in archive.read("card.md").decode()


def test_a_named_trial_predicts_by_its_folds_and_columns_are_judged_by_them(
    busy_desk: Desk, refitted: tuple[SearchView, SearchView], tmp_path: Path
) -> None:
    first, _ = refitted
    assert first.best is not None
    own = said_by(first, first.best.checkpoints, tmp_path)
    rows = list(csv.DictReader(io.StringIO(table())))
    by_rest = busy_desk.master.predict(first.id, rows, trial=first.best.trial)
    np.testing.assert_allclose(np.array(by_rest.columns["much"], float), own, rtol=1e-9)
    assert "refitted" not in busy_desk.master.features(first.id).chosen


def test_packing_changes_no_bit(busy_desk: Desk, refitted: tuple[SearchView, SearchView]) -> None:
    """Another search of the same spec, whose trials come one at a time."""
    _, refit = refitted
    budget = {"trials": 6, "parallel": 1}
    other = submitted(busy_desk, name="other", data=HELD_OUT, final={"refit": {"seeds": 2}}, budget=budget)
    (again,) = ended(busy_desk, other)
    assert again.refits == refit.refits
    for one, two in zip(busy_desk.master.all_trials(refit.id), busy_desk.master.all_trials(again.id), strict=True):
        pairs = zip(weights_of(refit, one.checkpoints), weights_of(again, two.checkpoints), strict=True)
        assert all(np.array_equal(a[name], b[name]) for a, b in pairs for name in a)


def test_each_outer_fold_is_refitted_itself(busy_desk: Desk) -> None:
    master = busy_desk.master
    first = submitted(busy_desk, name="outer", cv={"folds": 2, "outer": 2}, budget={"trials": 1},
                      parameters={"epochs": 2, "width": 4}, final={"refit": {"seeds": 1}})  # fmt: skip
    assert list(first.followers) == ["refit", "outer-1", "outer-2"]
    master.wait(first.id)
    while (open_one := master.next_follower(first.id)) is not None:
        master.wait(open_one)
    refit, *parts = [master.search(one or "") for one in master.search(first.id).followers.values()]
    refits = [master.search(part.followers["refit"] or "") for part in parts]
    order = [refit, parts[0], refits[0], parts[1], refits[1]]
    assert all(one.finished_at <= two.created_at for one, two in pairwise(order))  # type: ignore[operator]
    master.finalize(first.id)
    report = master.final(first.id).outer
    assert report is not None
    assert [one.search for one in report.scores] == [part.id for part in parts]
    models = [master.final(part.id).model for part in parts]
    assert [model and model.refit for model in models] == [one.id for one in refits]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"final": {"refit": 3}}, "final.refit"),
        ({"final": {"refit": {"folds": 3}}}, "final.refit.folds"),
        ({"final": {"refit": "yes"}, "metric": "r2", "data": {**HELD_OUT, "dataset": "few.csv"}}, "final.refit"),
    ],
)  # fmt: skip
def test_what_cannot_be_refitted_is_refused(desk: Desk, changes: Any, path: str) -> None:
    desk.write("few.csv", "\n".join(table().splitlines()[:14]))  # of 10 rows outside the test part one is left out
    with pytest.raises(SpecInvalid) as refused:
        submitted(desk, **changes)
    assert path in [fault.path for fault in refused.value.faults]


def test_run_waits_for_the_refit_and_tells_of_it(tmp_path: Path, desk: Desk) -> None:
    alone = Desk(tmp_path, desk.processes, desk.master)
    alone.write("table.csv", table())
    spec = {
        "name": "told", "method": "random", "budget": {"trials": 2}, "cv": {"folds": 2},
        "data": {**HELD_OUT, "test": None}, "final": {"refit": {"seeds": 1}, "ensemble": "none"},
        "parameters": {"lr": [0.01, 0.1], "width": 4, "epochs": 2, "batch_size": 32},
    }  # fmt: skip
    alone.write("spec.json", json.dumps(spec))
    done = alone("run", "spec.json", "--workers", "1")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "each trial is trained again with 1 seed on 90% of the rows" in words
