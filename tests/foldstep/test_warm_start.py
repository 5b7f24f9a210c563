"""Configurations from elsewhere: files and studies of Optuna, as the first trials of a search."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest

import foldstep
from foldstep.service.contract.errors import InvalidInput
from tests.foldstep.conftest import Desk, refused

TABLE = "rank,trial,score,lr,width\n3,7,0.5,0.01,8\n1,2,0.9,0.02,9\n2,4,0.7,0.03,10\n9,5,,0.04,11\n"
BEST = [{"lr": 0.02, "width": 9}, {"lr": 0.03, "width": 10}, {"lr": 0.01, "width": 8}]


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def written(tmp_path: Path, text: str, name: str = "old.csv") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


@pytest.mark.parametrize(("metric", "expected"), [("accuracy", BEST), ("log_loss", BEST[::-1])])
def test_a_leaderboard_in_a_file_is_ordered_by_its_metric(
    tmp_path: Path, metric: str, expected: list[dict[str, Any]]
) -> None:
    with pytest.warns(UserWarning, match="1 of 4 configurations have no score"):
        found = foldstep.warm_start_from(written(tmp_path, TABLE), metric=metric)
    assert found == {"configurations": expected}


def test_a_column_may_be_named_after_the_metric_and_hyperparameters_otherwise(tmp_path: Path) -> None:
    path = written(tmp_path, "rmse,learning,colour\n2,0.1,red\n1,0.2,blue\n")
    with pytest.warns(UserWarning, match=r"1 name\(s\) of no hyperparameter are left out: colour"):
        found = foldstep.warm_start_from(path, names={"learning": "lr"})
    assert found == {"configurations": [{"lr": 0.2}, {"lr": 0.1}]}


def test_without_scores_the_order_of_the_file_is_taken_and_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="its order is taken, the best first"):
        found = foldstep.warm_start_from(written(tmp_path, "- {lr: 0.3}\n- {lr: 0.1}\n", "old.yaml"))
    assert found == {"configurations": [{"lr": 0.3}, {"lr": 0.1}]}


def study(storage: str | None = None, direction: str = "maximize") -> optuna.Study:
    def objective(trial: optuna.Trial) -> float:
        if trial.number == 3:
            raise optuna.TrialPruned
        return trial.suggest_float("lr", 0.001, 0.1) + trial.suggest_int("layers", 1, 3)

    made = optuna.create_study(
        storage=storage, study_name="old", direction=direction, sampler=optuna.samplers.RandomSampler(seed=1)
    )
    made.optimize(objective, n_trials=6)
    return made


def values(of: optuna.Study, *, reverse: bool) -> list[dict[str, Any]]:
    ended = sorted((t for t in of.trials if t.value is not None), key=lambda t: t.value, reverse=reverse)
    return [{"lr": trial.params["lr"]} for trial in ended]


def test_a_study_of_optuna(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    made = study(storage)
    for source in ((made,), (storage,), (storage, "old")):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = foldstep.warm_start_from(*source)
        said = " ".join(str(one.message) for one in told if one.category is UserWarning)
        assert "1 name(s) of no hyperparameter are left out: layers; names={'theirs': 'lr'} renames them" in said
        assert "1 of 6 trials of the study have not ended with a value" in said
        assert found["configurations"] == values(made, reverse=True)
    with pytest.warns(UserWarning, match="not ended"):
        renamed = foldstep.warm_start_from(made, names={"layers": "depth"})
    assert set(renamed["configurations"][0]) == {"lr", "depth"}
    with pytest.warns(UserWarning, match="not ended"):
        less = foldstep.warm_start_from(study(direction="minimize"), names={"layers": "depth"})
    assert [one["lr"] for one in less["configurations"]] == [one["lr"] for one in renamed["configurations"][::-1]]
    with pytest.raises(InvalidInput, match="expected one of old, got new"):
        foldstep.warm_start_from(storage, "new")
    with pytest.raises(InvalidInput, match=r"no file .*other\.db"):
        foldstep.warm_start_from(f"sqlite:///{tmp_path / 'other.db'}")
    assert not (tmp_path / "other.db").exists()
    with pytest.raises(InvalidInput, match="No parameter of the study is a hyperparameter of Foldstep: lr"):
        foldstep.warm_start_from(made, names={"lr": "rate"})
    with pytest.raises(InvalidInput, match="one objective"):
        foldstep.warm_start_from(optuna.create_study(directions=["minimize", "maximize"]))
    with pytest.raises(InvalidInput, match="no trial that ended"):
        foldstep.warm_start_from(optuna.create_study())


REFUSED = [
    (TABLE, None, "Nobody says whether more or less is better"),
    (TABLE, "acuracy", "The metric is not known"),
    ("a,b\n1,2\n", None, "There are no configurations"),
    ("score,lr\n,0.1\n", "rmse", "There is nothing to begin with"),
]


@pytest.mark.parametrize(("text", "metric", "said"), REFUSED)
def test_refusals(tmp_path: Path, text: str, metric: str | None, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        foldstep.warm_start_from(written(tmp_path, text), metric=metric)
    with pytest.raises(InvalidInput, match="There is no file"):
        foldstep.warm_start_from(tmp_path / "nowhere.csv")


SPEC = {
    "name": "warm", "data": {"dataset": "iris"}, "cv": {"folds": 2}, "method": "random", "metric": "accuracy",
    "parameters": {"lr": {"low": 0.001, "high": 0.025}, "width": {"low": 8, "high": 10}, "epochs": 2},
    "budget": {"trials": 8},
}  # fmt: skip


def test_they_are_trained_first_and_what_is_outside_is_told(busy_desk: Desk) -> None:
    again = {"lr": 0.02, "width": 9, "seed": 5, "dropout": 0.0}
    given = {
        "configurations": [
            {"lr": 0.5},
            {"lr": 0.02, "width": 9},
            again,
            {"lr": 0.01, "width": 8},
            {"lr": 0.015, "width": 8},
        ]
    }
    master = busy_desk.master
    ended = master.wait(master.submit({**SPEC, "warm_start": given}).id)
    trials = master.all_trials(ended.id, order_by="number")
    assert [(t.params["lr"], t.params["width"]) for t in trials[:2]] == [(0.02, 9), (0.01, 8)]
    assert len(trials) == 8
    said = [note for note in ended.notes if note.startswith("warm_start")]
    assert "1 of 5 configurations are no points of the space" in said[0]
    assert "warm_start.configurations.0.lr: expected a value of" in said[0]
    assert "1 of 5 configurations repeat others" in said[1]
    assert "the first 2 of 3 configurations come first, which is a quarter of 8 trials" in said[2]


def test_names_and_values_of_no_space_are_faults_of_the_spec(desk: Desk) -> None:
    bad = {"configurations": [{"lr": 0.01, "width": 8}, {"rate": 0.01, "width": "wide"}]}
    with pytest.raises(InvalidInput) as caught:
        desk.master.submit({**SPEC, "warm_start": bad})
    assert {(fault.code, fault.path) for fault in caught.value.faults} == {
        ("unknown_key", "warm_start.configurations.1.rate"),
        ("out_of_domain", "warm_start.configurations.1.width"),
    }
    with pytest.raises(InvalidInput, match="no warm_start with a grid"):
        desk.master.submit({**SPEC, "method": "grid", "parameters": {"lr": [0.1]}, "warm_start": bad})


def test_the_option_of_run(desk: Desk) -> None:
    desk.write("old.csv", "accuracy,lr,width\n0.7,0.01,8\n0.9,0.02,9\n0.8,0.9,9\n")
    desk.write(
        "warm.yaml",
        "name: warm\ndata: {dataset: iris}\nmetric: accuracy\nmethod: random\n"
        "parameters: {lr: {low: 0.001, high: 0.025}, width: {low: 8, high: 10}, epochs: 2}\nbudget: {trials: 8}\n",
    )
    done = desk("run", "warm.yaml", "--warm-start", "old.csv", "--print-spec")
    assert done.returncode == 0, done.stderr
    assert "1 of 3 configurations are no points of the space" in done.stderr
    assert "lr: 0.02" in done.stdout
    desk.write("both.yaml", (desk.folder / "warm.yaml").read_text() + "warm_start: other\n")
    refused(desk("run", "both.yaml", "--warm-start", "old.csv"), "leave one of them out", code="invalid_input")
