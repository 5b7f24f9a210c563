"""`foldstep rerun`: a trial trained again alone gives the bits that a worker stored, and a changed bit is noticed."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from foldstep.client import Foldstep
from foldstep.commands.rerunning import same_bits
from foldstep.service.contract.report import Curve, FoldResult, TrialResult
from foldstep.service.contract.states import TrialState
from tests.acceptance.processes import Processes, foldstep, new_home, until

SPEC: dict[str, Any] = {
    "name": "again",
    "data": {"dataset": "wine"},
    "cv": {"folds": 3},
    "parameters": {
        "lr": [1e-2, 1e30],  # the second diverges
        "hidden": [[16], [200, 8]],
        "dropout": [0.0, 0.3],
        "scaler": ["whiten", "quantile"],
        "batch_size": 32,
        "epochs": 4,
    },
    "method": "grid",
}


class Desk:
    """A master, a worker, and the command beside them."""

    def __init__(self, folder: Path, processes: Processes, master: Foldstep) -> None:
        self.folder, self.processes, self.master = folder, processes, master

    def rerun(self, search: str, trial: int, *words: str) -> CompletedProcess[str]:
        return self.command("rerun", search, str(trial), *words)

    def command(self, *words: str, beside: str = "home") -> CompletedProcess[str]:
        """Run a command whose own copies of data files are below `beside`."""
        return foldstep(*words, "--dir", "data", cwd=self.folder, HOME=new_home(self.folder / beside))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("rerun")
    with Processes(folder) as processes:
        _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(folder))
        processes.worker(master)
        yield Desk(folder, processes, master)


@pytest.fixture(scope="module")
def searched(desk: Desk) -> str:
    search = desk.master.submit(SPEC)
    desk.master.wait(search.id, poll_s=0.05)
    return search.id


def test_alone_the_same_bits_come_out(desk: Desk, searched: str) -> None:
    trials = desk.master.all_trials(searched, order_by="number")
    assert len(trials) == 16
    widest = next(t for t in trials if t.params["hidden"] == [200, 8] and t.params["dropout"] and t.score is not None)
    diverged = next(t for t in trials if t.state is TrialState.DIVERGED)
    for trial in (widest, diverged):
        done = desk.rerun(searched, trial.trial, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        stored = {"score": trial.score, "folds": trial.folds}
        assert json.loads(done.stdout) == {"trial": trial.trial, **stored, "stored": stored, "same": True}


@pytest.mark.parametrize("fate", ["changed", "gone"])
def test_what_became_of_the_file_since_changes_no_bit(desk: Desk, fate: str) -> None:
    path = desk.folder / f"{fate}.csv"
    path.write_text("a,b,kind\n" + "".join(f"{i % 7},{i % 5},{'no' if i % 3 else 'yes'}\n" for i in range(60)))
    parameters = {"lr": 0.01, "width": 8, "batch_size": 16, "epochs": 3}
    data = {"dataset": path.name, "target": "kind"}
    search = desk.master.submit({**SPEC, "name": fate, "data": data, "parameters": parameters}).id
    assert desk.master.wait(search, poll_s=0.05).state == "completed"
    if fate == "gone":
        path.unlink()
    else:
        path.write_text("a,b,kind\n" + "".join(f"{i % 3},{i % 4},{'no' if i % 2 else 'yes'}\n" for i in range(90)))
    done = desk.command("rerun", search, "0", "--json", beside=fate)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["same"]
    counted = desk.command("histograms", search, "0", "--json", beside=fate)
    assert counted.returncode == 0, counted.stderr
    assert {h["epoch"] for h in json.loads(counted.stdout)["histograms"]} == {1, 3}


def test_the_last_bit_of_one_fold_is_noticed(desk: Desk, searched: str) -> None:
    best = next(r for r in desk.master.leaderboard(searched).rows if r.score is not None)
    score = best.folds[1]
    assert score is not None
    changed = math.nextafter(score, 2.0)
    with closing(sqlite3.connect(desk.folder / "data" / "foldstep.db")) as database, database:
        where = (changed, searched, best.trial)
        sql = "UPDATE folds SET score = ? WHERE search_id = ? AND trial = ? AND fold = 1"
        assert database.execute(sql, where).rowcount == 1
    done = desk.rerun(searched, best.trial)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Not the same bits" in done.stdout
    assert repr(score) in done.stdout
    assert repr(changed) in done.stdout


def test_a_trial_that_was_never_trained_is_refused(desk: Desk) -> None:
    parameters = {**SPEC["parameters"], "dropout": {"low": 0.0, "high": 0.3}}
    endless = {**SPEC, "method": "random", "parameters": parameters, "budget": {"trials": 100_000}}
    search = desk.master.submit(endless).id
    until(lambda: desk.master.search(search).best is not None, "a first result")
    desk.master.stop(search)
    rows = desk.master.all_trials(search, order_by="number")
    cancelled = next(r for r in rows if r.state is TrialState.CANCELLED)
    done = desk.rerun(search, cancelled.trial)
    assert done.returncode == 1
    assert "conflict" in done.stderr
    assert "cancelled" in done.stderr
    unknown = desk.rerun(search, 10**6)
    assert unknown.returncode == 1
    assert "not_found" in unknown.stderr


def test_an_epoch_that_differs_is_noticed_where_the_scores_agree(desk: Desk, searched: str) -> None:
    stored = desk.master.all_trials(searched, order_by="number")[0]
    curves = desk.master.curves(searched, stored.trial)
    folds = [
        FoldResult(fold=i, score=score, best_epoch=1, epochs=4, curve=curves.curves[i])
        for i, score in enumerate(stored.folds)
    ]
    result = TrialResult(trial=stored.trial, outcome="completed", folds=folds, duration_s=0)
    assert same_bits(result, stored, curves)
    other = Curve(train_loss=[None, *folds[2].curve.train_loss[1:]], score=folds[2].curve.score)
    changed = [*folds[:2], folds[2].model_copy(update={"curve": other})]
    assert not same_bits(result.model_copy(update={"folds": changed}), stored, curves)
