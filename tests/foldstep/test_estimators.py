"""The estimators of scikit-learn, with the service that they start themselves."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import psutil
import pytest
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

import foldstep
from foldstep import FoldstepClassifier, FoldstepRegressor
from foldstep.connect import master_of
from foldstep.estimator_service import end_services, service
from foldstep.local import local_master
from foldstep.service.contract.errors import FitRefused, InvalidInput, NothingTrained
from tests.acceptance.processes import Processes

SMALL: dict[str, Any] = {"n_trials": 1, "parameters": {"epochs": 20, "width": 16, "lr": 0.03}, "cv": 2, "n_workers": 1}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
WORDS = np.where(X[:, 0] + X[:, 1] > 0, "up", "down")
FAILS = {
    # it gives `cv` a list of splits, which Foldstep does not take; its folds are drawn by row, so that a row that is
    # there twice may be in two folds, and one of weight 2 is not
    "check_sample_weight_equivalence_on_dense_data": "weights are not repetitions where folds are drawn by row",
}


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", [FoldstepClassifier, FoldstepRegressor])
def test_it_is_an_estimator_as_scikit_learn_says(kind: type) -> None:
    done = check_estimator(kind(**SMALL), expected_failed_checks=FAILS, on_skip=None)
    assert {c["check_name"] for c in done if c["status"] == "xfail"} == set(FAILS)
    assert sum(c["status"] == "passed" for c in done) > 50


def test_classes_come_back_in_their_order_and_type() -> None:
    for labels in (["up", "down"], [3, -1], [3.0, 2.0], ["NA", "2020-01-01"], ["1 ", "01"], [True, False]):
        y = np.array(labels)[(WORDS == "up").astype(int)]
        model = FoldstepClassifier(**SMALL).fit(X, y)
        assert model.classes_.tolist() == sorted(labels)
        assert model.predict(X).dtype == y.dtype
        assert model.score(X, y) > 0.9
        proba = model.predict_proba(X)
        assert (model.classes_[proba.argmax(axis=1)] == model.predict(X)).all()


def frame() -> tuple[pd.DataFrame, pd.Series]:
    """A table in which the target is in the column of text, whose value NA is not missing."""
    towns = np.array(["NA", "Bonn", "2020-01-01"])[np.arange(90) % 3]
    table = pd.DataFrame({
        "number": np.random.default_rng(1).normal(size=90),
        "town": towns,
        "kind": pd.Categorical(np.arange(90) % 4),
        "whole": pd.array(np.arange(90) % 5, dtype="Int64"),
        "flag": np.arange(90) % 2 == 0,
        "day": pd.date_range("2020-01-01", periods=90),
    })  # fmt: skip
    table.loc[3, "number"] = np.nan
    table.loc[4, "town"] = None
    table.loc[5, "whole"] = pd.NA
    return table, pd.Series(np.where(towns == "NA", "yes", "no"), name="town")


def test_pandas_with_text_categories_and_missing_values() -> None:
    table, y = frame()
    model = FoldstepClassifier(**SMALL).fit(table, y)
    assert model.score(table.drop(index=4), y.drop(index=4)) == 1.0
    assert model.feature_names_in_.tolist() == list(table.columns)
    report = {column["name"]: column["kind"] for column in model.model_.card["data"]["columns"]}
    assert [report[name] for name in table.columns] == ["number", "category", "category", "number", "category", "date"]
    with pytest.raises(ValueError, match="should match those that were passed during fit"):
        model.predict(table[table.columns[::-1]])
    with pytest.raises(ValueError, match="infinity in the column number"):
        model.predict(table.assign(number=np.inf))


def test_polars_as_pandas() -> None:
    table, y = frame()
    table = table.drop(columns="kind")
    pandas = FoldstepClassifier(**SMALL).fit(table, y)
    polars = FoldstepClassifier(**SMALL).fit(pl.from_pandas(table), pl.Series("town", y.tolist()))
    np.testing.assert_array_equal(polars.predict_proba(pl.from_pandas(table)), pandas.predict_proba(table))
    assert polars.feature_names_in_.tolist() == list(table.columns)


def test_columns_that_are_not_used_are_said() -> None:
    with pytest.warns(UserWarning, match="1 of 2 columns are not used: same"):
        FoldstepRegressor(**SMALL).fit(pd.DataFrame({"x": X[:, 0], "same": 1.0}), X[:, 0])


def test_weights_reach_the_spec_and_change_the_fit() -> None:
    y = np.where(np.arange(80) % 2 == 0, 1.0, -1.0)
    weight = np.where(y > 0, 5.0, 1.0)
    with_names = pd.DataFrame(X, columns=["sample_weight", "target", "c"])
    plain = FoldstepRegressor(**SMALL).fit(with_names, y)
    weighted = FoldstepRegressor(**SMALL).fit(with_names, y, sample_weight=weight)
    assert weighted.model_.card["spec"]["data"]["weight"] == "sample_weight_"
    assert weighted.model_.card["spec"]["data"]["target"] == "target_"
    assert "weight" not in plain.model_.card["spec"]["data"]
    assert weighted.predict(with_names).mean() > plain.predict(with_names).mean() + 0.3


def test_rows_without_weight_are_no_rows() -> None:
    weight = np.where(np.arange(80) < 60, 1.0, 0.0)
    y = np.where(weight > 0, WORDS, "never")
    dropped = FoldstepClassifier(**SMALL).fit(X, y, sample_weight=weight)
    fewer = FoldstepClassifier(**SMALL).fit(X[:60], y[:60], sample_weight=weight[:60])
    assert dropped.classes_.tolist() == ["down", "up"]
    np.testing.assert_array_equal(dropped.predict_proba(X), fewer.predict_proba(X))


def test_results_have_the_forms_of_scikit_learn() -> None:
    parameters = {"epochs": 5, "width": [4, 8, 16], "lr": {"low": 0.001, "high": 0.1, "log": True}}
    loss = FoldstepClassifier(**{**SMALL, "n_trials": 4, "parameters": parameters, "metric": "log_loss"}).fit(X, WORDS)
    found, board = loss.cv_results_, loss.leaderboard_.sort_values("trial")
    np.testing.assert_array_equal(found["mean_test_score"], -board["score"])
    np.testing.assert_array_equal(found["rank_test_score"], board["rank"])
    splits = np.stack([found["split0_test_score"], found["split1_test_score"]])
    np.testing.assert_allclose(splits.mean(axis=0), found["mean_test_score"])
    np.testing.assert_allclose(splits.std(axis=0), found["std_test_score"])
    best = int(found["mean_test_score"].argmax())
    assert found["rank_test_score"][best] == 1
    assert loss.best_score_ == found["mean_test_score"][best] < 0
    assert loss.best_params_ == found["params"][best]
    assert found["param_width"].tolist() == [params["width"] for params in found["params"]]
    assert board["width"].tolist() == found["param_width"].tolist()
    accuracy = FoldstepClassifier(**{**SMALL, "metric": "accuracy"}).fit(X, WORDS)
    assert accuracy.best_score_ == accuracy.leaderboard_["score"][0] > 0.5


def test_a_pickle_predicts_the_same_in_another_process(tmp_path: Path) -> None:
    model = FoldstepClassifier(**SMALL).fit(X, WORDS)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    model.save(tmp_path / "model.foldstep")
    np.save(tmp_path / "x.npy", X)
    program = (
        "import pickle, numpy as np, json, foldstep; x = np.load('x.npy'); "
        "m = pickle.load(open('model.pickle', 'rb')); f = foldstep.load('model.foldstep'); "
        "print(json.dumps([m.predict_proba(x).tolist(), f.predict_proba(x).tolist(), len(m.leaderboard_)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    unpickled, loaded, n_trials = json.loads(done.stdout)
    assert unpickled == loaded == model.predict_proba(X).tolist()
    assert n_trials == 1


def test_saving_says_where_classes_lose_their_names(tmp_path: Path) -> None:
    model = FoldstepClassifier(**SMALL).fit(X, np.where(WORDS == "up", "NA", "1"))
    with pytest.warns(UserWarning, match="called 0, 1, in the order of classes_"):
        model.save(tmp_path / "model.foldstep")
    assert set(foldstep.load(tmp_path / "model.foldstep").predict(X)) == {0, 1}


def keepers() -> list[int]:
    """List the processes that keep a service for this one."""
    return [p.pid for p in psutil.Process().children() if "foldstep.estimator_keeper" in p.cmdline()]


def test_fits_share_a_service_that_keeps_nothing_of_them() -> None:
    model = FoldstepRegressor(**SMALL)
    first = model.fit(X, X[:, 0]).predict(X)
    before = keepers()
    again = clone(model).fit(X, X[:, 0]).predict(X)
    assert keepers() == before
    assert len(before) == 1
    np.testing.assert_array_equal(first, again)
    with service(None, 1) as running:
        assert running.master.searches() == []
        assert not list((running.folder / "tables").iterdir())


def test_ctrl_c_ends_the_fit_and_its_search_but_not_the_service(tmp_path: Path) -> None:
    kept = {**SMALL, "data_dir": tmp_path}
    FoldstepRegressor(**kept).fit(X, X[:, 0])
    before = keepers()
    timer = threading.Timer(3.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        FoldstepRegressor(**{**kept, "parameters": {"epochs": 1_000_000}}).fit(X, X[:, 0])
    timer.join()
    with service(tmp_path, 1) as running:
        assert [search.state for search in running.master.searches()] == ["stopped", "completed"]
    FoldstepRegressor(**kept).fit(X, X[:, 0])
    assert keepers() == before


def test_a_service_whose_processes_were_killed_is_started_again() -> None:
    FoldstepRegressor(**SMALL).fit(X, X[:, 0])
    (keeper,) = keepers()
    os.kill(keeper, signal.SIGKILL)
    psutil.Process(keeper).wait(10)
    FoldstepRegressor(**SMALL).fit(X, X[:, 0])
    assert keeper not in keepers()


def is_served(folder: Path) -> bool:
    master = master_of(folder)
    if master is not None:
        master.close()
    return master is not None


def test_searches_stay_in_a_folder_that_is_named(tmp_path: Path) -> None:
    FoldstepRegressor(**SMALL, data_dir=tmp_path, random_state=7).fit(X, X[:, 0])
    assert is_served(tmp_path)
    FoldstepRegressor(**SMALL).fit(X, X[:, 0])  # ends the service of that folder
    assert not is_served(tmp_path)
    with local_master(tmp_path, []) as master:
        (search,) = master.searches()
        assert master.spec(search.id)["seed"] == 7
        master.close()


def test_a_master_that_serves_the_folder_is_taken(tmp_path: Path, processes: Processes) -> None:
    _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(tmp_path / "elsewhere"))
    model = FoldstepRegressor(**SMALL, data_dir=processes.data_dir).fit(X, X[:, 0])
    assert [search.name for search in master.searches()] == ["FoldstepRegressor"]
    assert model.score(X, X[:, 0]) > 0.5
    end_services()
    assert [search.name for search in master.searches()] == ["FoldstepRegressor"]


def test_a_threshold_is_what_predict_follows() -> None:
    """A missed `up` costs fifty times a false one: it is predicted where it is improbable, too."""
    noisy = np.where(X[:, 0] + RNG.normal(size=80) > 0.8, "up", "down")
    dear = {"threshold": {"cost": {"false_positive": 1, "false_negative": 50}}}
    model = FoldstepClassifier(**SMALL, final=dear).fit(X, noisy)
    threshold = model.model_.threshold
    assert threshold is not None
    assert threshold < 0.4
    expected = np.where(model.predict_proba(X)[:, 1] > threshold, "up", "down")
    assert model.predict(X).tolist() == expected.tolist()
    assert (model.predict_proba(X).argmax(axis=1) != (expected == "up")).any()


@pytest.mark.parametrize("final", [{"refit": {"seeds": 3}}, {"ensemble": "seeds", "members": 3}], ids=str)
def test_what_follows_a_search_is_waited_for_and_kept_nowhere(final: dict[str, Any]) -> None:
    """The model has the networks of the search that follows."""
    model = FoldstepRegressor(**SMALL, final=final).fit(X, X[:, 0])
    networks = [member["networks"] for member in model.model_.card["members"]]
    assert networks == ([3] if "refit" in final else [2, 2, 2])
    with service(None, 1) as running:
        assert running.master.searches() == []


def test_in_the_searches_of_scikit_learn() -> None:
    grid = GridSearchCV(FoldstepClassifier(**SMALL), {"cv": [2, 3]}, cv=2).fit(X, WORDS)
    assert grid.best_score_ > 0.8
    scores = cross_val_score(FoldstepRegressor(**SMALL), X, X[:, 0], cv=2, n_jobs=2)
    assert scores.shape == (2,)
    assert (scores > 0).all()


PARENT = """
import os, sys, time, numpy as np, psutil
from foldstep import FoldstepRegressor
X = np.random.default_rng(0).normal(size=(40, 2))
def fit():
    FoldstepRegressor(n_trials=1, parameters={"epochs": 2}, cv=2, n_workers=1).fit(X, X[:, 0])
    return [p.pid for p in psutil.Process().children() if "foldstep.estimator_keeper" in p.cmdline()]
before = fit()
child = os.fork()
if child == 0:
    own = fit()
    sys.stdout.write("own\\n" if len(own) == 1 and own != before else f"{own} {before}\\n")
    sys.stdout.flush()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert fit() == before
sys.stdout.write(" ".join(str(p.pid) for p in psutil.Process().children(recursive=True)) + "\\n")
sys.stdout.flush()
if sys.argv[1] == "stay":
    other = os.fork()  # one that outlives its parent
    if other == 0:
        time.sleep(100)
        os._exit(0)
    sys.stdout.write(f"{other}\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["stay", "leave"])
def test_a_forked_process_has_its_own_service_and_all_end_with_their_parents(end: str) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", PARENT, end], **pipes) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "own\n"
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) >= 3  # the keeper, a master, a worker
        sleepers = []
        if end == "stay":
            sleepers = [psutil.Process(int(parent.stdout.readline()))]
            parent.kill()
        parent.wait()
        alive = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        left = psutil.wait_procs(alive, timeout=60)[1]
        assert all(sleeper.is_running() for sleeper in sleepers)
        for sleeper in sleepers:
            sleeper.kill()
    assert left == []


def test_without_a_fit_there_is_nothing() -> None:
    model = FoldstepClassifier(**SMALL)
    for name in ("model_", "leaderboard_"):
        with pytest.raises(NotFittedError):
            getattr(model, name)


REFUSED: Sequence[tuple[dict[str, Any], Any, Any, str]] = [
    ({}, X, np.full(80, "one"), "y has only the class"),
    ({}, X, np.array(["a", None] * 40, dtype=object), "every row needs a class"),
    ({}, X[:1], WORDS[:1], "minimum of 2"),
    ({}, pd.DataFrame(X[:1]), WORDS[:1], "minimum of 2"),
    ({"n_workers": 0}, X, WORDS, "n_workers is a number of processes from 1"),
    ({"metric": "neg_log_loss"}, X, WORDS, "did you mean log_loss"),
    ({"cv": 1}, X, WORDS, "cv.folds"),
    ({"n_trials": None, "time_limit": "soon"}, X, WORDS, "budget.time"),
    ({"parameters": {"learning_rate": 1}}, X, WORDS, "did you mean lr"),
]


@pytest.mark.parametrize(("other", "features", "y", "said"), REFUSED)
def test_refusals_are_value_errors_in_one_sentence(other: dict[str, Any], features: Any, y: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FoldstepClassifier(**{**SMALL, **other}).fit(features, y)


def test_a_refusal_of_the_spec_keeps_its_faults() -> None:
    with pytest.raises(FitRefused) as caught:
        FoldstepClassifier(**{**SMALL, "metric": "neg_log_loss"}).fit(X, WORDS)
    assert isinstance(caught.value, InvalidInput)
    assert [fault.path for fault in caught.value.faults] == ["metric.name"]


def test_a_time_that_is_too_short_says_the_baseline_and_what_to_set() -> None:
    model = FoldstepRegressor(**{**SMALL, "n_trials": None, "time_limit": 0.001})
    with pytest.raises(
        NothingTrained, match=r"constant answer, whose rmse is 1\.\d+\. Set a longer time_limit"
    ) as caught:
        model.fit(X, X[:, 0])
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_folds_of_a_rare_class_are_said() -> None:
    y = np.where(np.arange(80) == 0, "rare", WORDS)
    with pytest.warns(UserWarning, match=r"rarest class has 1 row\(s\), fewer than 2 folds"):
        FoldstepClassifier(**SMALL).fit(X, y)


def test_progress_is_told_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    FoldstepRegressor(**SMALL, verbose=1).fit(X, X[:, 0])
    assert "[foldstep] 1 of 1 trials, rmse" in capsys.readouterr().out
    FoldstepRegressor(**SMALL).fit(X, X[:, 0])
    assert capsys.readouterr().out == ""


def test_a_table_alone_is_enough() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataConversionWarning)
        model = FoldstepClassifier(time_limit=5, n_workers=1).fit(X, WORDS)
    assert model.score(X, WORDS) > 0.8
    assert any("default space" in note for note in model.notes_)
