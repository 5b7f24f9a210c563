"""`foldstep.search`: from a table or a spec to the ensemble, with the service that it starts itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_iris

import foldstep
from foldstep import Foldstep, SearchResult
from foldstep.connect import master_of
from foldstep.estimator_service import end_services, service
from foldstep.service.contract.errors import InvalidInput, NothingTrained, SpecInvalid, Unavailable

SMALL: dict[str, Any] = {"parameters": {"epochs": 20, "width": [8, 16], "lr": 0.03}, "cv": {"folds": 2}}
HERE: dict[str, Any] = {"n_trials": 2, "n_workers": 1, "progress": False}
RNG = np.random.default_rng(0)


def frame() -> pd.DataFrame:
    """A table whose target is in a column of text; its value NA is no missing one."""
    town = np.array(["NA", "Bonn"])[np.arange(80) % 2]
    return pd.DataFrame({"a": RNG.normal(size=80), "town": town, "y": np.where(town == "NA", "up", "down")})


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return foldstep.search(SMALL, frame(), target="y", **HERE)


def searches_here() -> list[str]:
    with service(None, 1) as running:
        return [search.id for search in running.master.searches()]


def test_the_test_part_and_other_seeds_are_in_the_result() -> None:
    spec = {**SMALL, "data": {"test": 0.25}, "final": {"reseed": {"top": 1, "seeds": 2}}}
    with foldstep.search(spec, frame(), target="y", **HERE) as found:
        assert found.final.model is not None
        assert found.final.model.test is not None
        assert found.final.model.test.n_rows == 20
        assert found.final.reseed is not None
        assert len(found.final.reseed.trials[0].again) == 2
        assert not found.final.awaits_score


def test_what_a_search_gives(result: SearchResult, tmp_path: Path) -> None:
    table = frame()
    assert result.predict(table).tolist() == table["y"].tolist()
    np.testing.assert_array_equal(result.model.classes_[result.predict_proba(table).argmax(axis=1)], table["y"])
    board = result.leaderboard
    assert isinstance(board, pd.DataFrame)
    assert (board["rank"].tolist(), sorted(board["trial"]), sorted(board["width"])) == ([1, 2], [0, 1], [8, 16])
    assert result.best_score == board["score"][0] == result.search.best.score  # type: ignore[union-attr]
    assert result.best_params["width"] == board["width"][0]
    assert [trial.trial for trial in result.trials()] == board["trial"].tolist()
    assert result.winner is not None
    assert result.ensemble is not None
    assert result.winner.trial == result.ensemble.winner == board["trial"][0]
    assert result.importance().trials == 2
    assert "treated as classification" in " ".join(result.notes)
    assert repr(result).startswith(f"<SearchResult {result.id}: 2 trials, best accuracy 1.0")
    result.save(tmp_path / "model.foldstep")
    assert foldstep.load(tmp_path / "model.foldstep").predict(table).tolist() == table["y"].tolist()


def test_curves_have_a_row_for_each_epoch_of_each_fold(result: SearchResult) -> None:
    curves = result.curves(0, 1)
    assert list(curves.columns) == ["trial", "fold", "epoch", "train_loss", "score"]
    assert len(curves) == 2 * 2 * 20
    best = curves[curves.trial == result.search.best.trial]  # type: ignore[union-attr]
    assert len(best) == len(result.curves()) == 40
    assert best["epoch"].tolist() == [*range(1, 21)] * 2


def test_a_polars_table_gives_the_same_scores(result: SearchResult) -> None:
    with foldstep.search(SMALL, pl.from_pandas(pd.DataFrame(frame())), target="y", **HERE) as other:
        assert other.search.metric == result.search.metric
        assert sorted(other.leaderboard["width"]) == [8, 16]


def test_a_spec_file_with_its_table_beside_it(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "towns.csv", index=False)
    spec = tmp_path / "towns.yaml"
    spec.write_text(
        "name: towns\ndata: {dataset: towns.csv, target: y, not_missing: [NA]}\nmetric: log_loss\ncv: {folds: 2}\n"
        "parameters: {epochs: 5, width: 8}\nbudget: {trials: 1}\n"
    )
    with foldstep.search(spec, n_workers=1, progress=False) as found:
        assert (found.search.name, found.search.metric.name) == ("towns", "log_loss")
        assert found.search.n_folds == 2
    spec.write_text("name: towns\ndata: {dataset: towns.csv, target: y}\nparameters:\n  learning_rate: 1\n")
    with pytest.raises(SpecInvalid, match=r"towns\.yaml line 4.*did you mean lr"):
        foldstep.search(spec, progress=False)


@pytest.mark.parametrize("spec", [None, {}], ids=["a table alone", "an empty spec"])
def test_zero_configuration(spec: dict[str, Any] | None) -> None:
    table = load_iris(as_frame=True).frame
    with foldstep.search(spec, table, target="target", time_limit=4, n_workers=1, progress=False) as found:
        assert "default space" in " ".join(found.notes)
        assert (found.predict(table) == table["target"]).mean() > 0.8


def test_a_bundled_set_or_a_file_in_place_of_a_spec(tmp_path: Path) -> None:
    with foldstep.search("iris", metric="log_loss", n_trials=1, time_limit=3, n_workers=1, progress=False) as found:
        assert found.search.name == "iris"
    frame().to_csv(tmp_path / "my towns.csv", index=False)
    with foldstep.search(SMALL, str(tmp_path / "my towns.csv"), target="y", **HERE) as found:
        assert found.search.name == "my-towns"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "Say what to search"),
    ({"spec": SMALL, "data": frame()}, "data.target: expected the name of the column"),
    ({"data": frame(), "target": "z"}, "the columns are a, town, y"),
    ({"data": 7, "target": "y"}, "expected a pandas or polars DataFrame"),
    ({"spec": {"metric": "accuracy"}, "data": frame(), "target": "y", "metric": "f1"}, "metric and the spec's metric"),
    ({"spec": {"budget": {"trials": 3}}, "data": frame(), "target": "y"}, "n_trials and the spec's budget.trials"),
    ({"data": "nowhere.csv", "target": "y"}, "got nowhere.csv, which is not in"),
    ({"spec": "nowhere.yaml"}, "There is no file nowhere.yaml"),
    ({"data": frame(), "target": "y", "n_workers": 0}, "n_workers is a number of processes from 1"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_refusals_are_one_sentence(words: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        foldstep.search(**{**HERE, **words})


def test_arguments_that_say_what_the_spec_says_are_fine() -> None:
    with foldstep.search({**SMALL, "budget": {"trials": 2}}, frame(), target="y", **HERE) as found:
        assert len(found.trials()) == 2


def test_a_closed_result_predicts_and_says_why_it_has_no_curves() -> None:
    found = foldstep.search(SMALL, frame(), target="y", **HERE)
    assert found.id in searches_here()
    found.close()
    found.close()
    assert found.id not in searches_here()
    assert len(found.leaderboard) == 2
    assert found.predict(frame()).shape == (80,)
    with pytest.raises(Unavailable, match="was closed"):
        found.curves()


def test_a_result_that_nobody_uses_is_closed() -> None:
    found = foldstep.search(SMALL, frame(), target="y", **HERE)
    search = found.id
    del found
    assert search not in searches_here()


def test_a_search_without_a_score_says_so_and_leaves_nothing() -> None:
    before = searches_here()
    with pytest.raises(NothingTrained, match="constant answer"):
        foldstep.search(SMALL, frame(), target="y", time_limit=0.001, n_workers=1, progress=False)
    assert searches_here() == before
    with service(None, 1) as running:
        assert not list((running.folder / "tables").iterdir())


def test_failed_checks_are_told() -> None:
    bad = {**SMALL, "checks": {"before": True}, "parameters": {"lr": 1e-12, "epochs": 3, "width": 4}}
    with pytest.raises(NothingTrained, match=r"checks: \{force: true\}"):
        foldstep.search(bad, frame(), target="y", **HERE)


def interrupt_once_it_trains(master: Foldstep) -> None:
    with contextlib.closing(master):
        while not any(search.progress.epochs_done for search in master.searches()):
            time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def test_an_unfinished_search_in_a_folder_is_resumed(tmp_path: Path) -> None:
    table, long = frame(), {**SMALL, "parameters": {"epochs": 1500, "width": 8, "lr": [0.01, 0.02, 0.03, 0.04]}}
    here = {"n_trials": 4, "n_workers": 1, "progress": False, "data_dir": tmp_path}
    with service(tmp_path, 1) as running:
        thread = threading.Thread(target=interrupt_once_it_trains, args=[running.client()])
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            foldstep.search(long, table, target="y", **here)
        thread.join()
    with service(tmp_path, 1) as running:
        (paused,) = running.master.searches()
        assert paused.state == "paused"
    with foldstep.search(long, table, target="y", **here) as found:
        assert found.id == paused.id
        assert len(found.trials()) == 4
    again = foldstep.search(long, table, target="y", **here)
    assert again.id != found.id
    again.close()
    end_services()
    assert master_of(tmp_path) is None


SCRIPT = """
import os, sys, numpy as np, foldstep
x = np.random.default_rng(0).normal(size=(40, 2))
found = foldstep.search({"parameters": {"epochs": 2}, "cv": {"folds": 2}}, {"a": x[:, 0], "y": x[:, 1]}, target="y",
                        n_trials=1, n_workers=1)
if os.fork() == 0:
    del found
    sys.exit(0)
os.wait()
print(len(found.curves()))
"""


def test_a_script_ends_by_itself_and_a_forked_process_ends_nothing(tmp_path: Path) -> None:
    """Nothing is closed in the script, which tells its progress in plain lines."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "4"
    assert any(line.startswith("y has 40 different numbers") for line in lines)
    assert any("1 of 1 trials" in line for line in lines)
    assert list(tmp_path.iterdir()) == []
