"""Out-of-fold predictions and ensembles of real searches, by REST, command line and files."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldstep import load
from foldstep.service.contract.errors import Conflict, NotFound
from foldstep.service.contract.leaderboard import SearchView
from tests.acceptance.processes import foldstep
from tests.foldstep.conftest import Desk
from tests.foldstep.predicting import predict

PARAMETERS = {"lr": {"low": 0.01, "high": 0.1, "log": True}, "width": [4, 8], "epochs": 8, "batch_size": 16}
N_ROWS = 120


def table() -> str:
    """Columns to predict of each kind: three classes, a number, an amount with an exposure, two labels; weights."""
    rng = random.Random(11)
    rows = ["x,z,city,kind,much,amount,years,spam,glad,w"]
    for _ in range(N_ROWS):
        x, z = rng.gauss(0, 1), rng.gauss(0, 1)
        kind = "abc"[(x > 0.4) + (z > 0.2)]
        years = rng.uniform(0.5, 2)
        rows.append(
            f"{x:.4f},{z:.4f},{rng.choice(['', 'Bonn', 'Ulm'])},{kind},{1000 * (x + z) + 5000:.2f},"
            f"{int(years * rng.gammavariate(2, 1) * (1 + (x > 0)))},{years:.2f},{int(x > 0.5)},{int(z > 0)},"
            f"{rng.uniform(1, 3):.2f}"
        )
    return "\n".join(rows) + "\n"


ALL = ["kind", "much", "amount", "years", "spam", "glad", "w"]
CASES: dict[str, dict[str, Any]] = {
    "classes": {"data": {"target": "kind"}, "cv": {"folds": 3, "repeats": 2}},
    "values": {"data": {"target": "much", "weight": "w"}, "parameters": {"target_transform": "yeo_johnson"}},
    "counts": {
        "data": {"target": "amount", "exposure": "years", "task": "regression"}, "parameters": {"loss": "poisson"},
    },
    "holdout": {"data": {"target": "much"}, "cv": {"holdout": 0.4}},
    "quantiles": {"data": {"target": "much", "quantiles": [0.2, 0.8]}, "parameters": {"loss": "quantile"}},
    "labels": {"data": {"target": ["spam", "glad"]}},
    "targets": {"data": {"target": ["much", "years"]}},
    "test part": {"data": {"target": "kind", "test": 0.25}},
}  # fmt: skip


def search_of(desk: Desk, case: str, **changes: Any) -> SearchView:
    given = CASES[case]
    used = [given["data"].get(key) for key in ("target", "weight", "exposure")]
    named = [name for value in used for name in (value if isinstance(value, list) else [value])]
    desk.write("table.csv", table())
    ignored = [name for name in ALL if name not in named]
    spec = {
        "name": case.replace(" ", "-"), "seed": 2, "method": "random", "budget": {"trials": 6}, "cv": {"folds": 3},
        **given,
        "data": {"dataset": "table.csv", "ignore": ignored, **given["data"]},
        "parameters": {**PARAMETERS, **given.get("parameters", {})}, **changes,
    }  # fmt: skip
    search = desk.master.wait(desk.master.submit(spec).id)
    assert search.state == "completed", search.notes
    return search


def checkpoints_of(search: SearchView) -> list[Path]:
    assert search.best is not None
    return [Path(search.checkpoint_dir) / name for name in search.best.checkpoints]


@pytest.mark.parametrize("case", CASES)
def test_they_are_what_each_folds_network_predicts_for_its_own_rows(busy_desk: Desk, case: str, tmp_path: Path) -> None:
    """`foldstep predict` with a fold's checkpoint says the same of these rows of the file."""
    search = search_of(busy_desk, case)
    found = busy_desk.master.predictions(search.id, search.best.trial if search.best else 0)
    assert max(found.folds) + 1 == search.n_folds
    given = CASES[case]
    times = 2 if case == "classes" else 1
    counts = np.bincount(found.rows, minlength=N_ROWS)
    if case == "holdout":
        assert counts.sum() == 48
    elif case == "test part":
        assert counts.max() == 1
        assert 85 <= counts.sum() <= 95  # three quarters, in proportion to the classes
    else:
        assert (counts == times).all()
    rows = list(csv.DictReader(io.StringIO(table())))
    labels = case in ("classes", "labels", "test part")
    for fold, checkpoint in enumerate(checkpoints_of(search)):
        own = [i for i, of in enumerate(found.folds) if of == fold]
        header, *lines = [line.split(",") for line in table().splitlines()]
        content = "\n".join([",".join(header), *(",".join(lines[found.rows[i]]) for i in own)]) + "\n"
        (_, *said), _ = predict([checkpoint], content, tmp_path, *(["--proba"] if labels else []))
        expected = np.array([found.predictions[i] for i in own])
        np.testing.assert_allclose(np.array(said, float), expected, rtol=2e-4, atol=1e-6)
    target = given["data"]["target"]
    for i, row in enumerate(found.rows):
        if isinstance(target, list):
            assert found.truth[i] == [float(rows[row][name]) for name in target]
        elif case in ("classes", "test part"):
            assert found.columns[int(found.truth[i])] == rows[row][target]  # type: ignore[arg-type]
        else:
            assert found.truth[i] == float(rows[row][target])


def test_an_ensemble_is_made_of_the_best_and_told(busy_desk: Desk) -> None:
    search = search_of(busy_desk, "values")
    found = busy_desk.master.ensemble(search.id)
    assert found is not None
    assert search.best is not None
    assert found.winner == search.best.trial
    assert found.n_candidates == 6
    assert sum(member.weight for member in found.members) == pytest.approx(1)
    assert found.n_networks == 3 * len(found.members)
    assert found.score <= found.winner_score
    told = busy_desk("leaderboard", search.id)
    words = " ".join(told.stdout.split())
    if len(found.members) > 1:
        assert f"Ensemble of trials {found.members[0].trial} (" in words
    else:
        assert "The best trial predicts alone" in words
    # the score of the winner follows from its predictions
    seen = busy_desk.master.predictions(search.id, found.winner)
    rows = list(csv.DictReader(io.StringIO(table())))
    weight = np.array([float(rows[row]["w"]) for row in seen.rows])
    error = (np.array(seen.predictions)[:, 0] - np.array(seen.truth)) ** 2
    folds = np.array(seen.folds)
    by_fold = [np.sqrt(np.average(error[folds == f], weights=weight[folds == f])) for f in range(3)]
    assert found.winner_score == pytest.approx(float(np.mean(by_fold)), rel=1e-6)


def test_predictions_are_the_same_bits_however_trials_are_packed(busy_desk: Desk) -> None:
    """One search of six trials, another whose trials come one at a time."""
    one = search_of(busy_desk, "classes", name="packed")
    other = search_of(busy_desk, "classes", name="alone", budget={"trials": 6, "parallel": 1})
    for number in range(6):
        of = [busy_desk.master.predictions(s.id, number) for s in (one, other)]
        assert of[0] == of[1]
    both = [busy_desk.master.ensemble(s.id) for s in (one, other)]
    is_measured = {"milliseconds"}
    left_out = {"search": True, "cost": is_measured, "winner_cost": is_measured, "cost_sentence": True}
    first, second = (e.model_dump(exclude=left_out) for e in both if e is not None)  # type: ignore[arg-type]
    assert first == second


def test_without_predictions_the_best_trial_is_alone_and_it_is_said(busy_desk: Desk) -> None:
    search = search_of(busy_desk, "values", name="none", checkpoints={"predictions": False})
    assert busy_desk.master.ensemble(search.id) is None
    with pytest.raises(Conflict, match="no out-of-fold predictions"):
        busy_desk.master.predictions(search.id, 0)
    with pytest.raises(NotFound, match="no trial 99"):
        busy_desk.master.predictions(search.id, 99)
    few = search_of(busy_desk, "values", name="few", checkpoints={"keep": 2})
    found = busy_desk.master.ensemble(few.id)
    assert found is not None
    assert found.n_candidates == 2


def test_final_none_leaves_the_best_trial_alone(busy_desk: Desk) -> None:
    search = search_of(busy_desk, "values", name="single", final={"ensemble": "none"})
    found = busy_desk.master.ensemble(search.id)
    assert found is not None
    assert [member.weight for member in found.members] == [1.0]
    assert found.members[0].trial == found.winner
    assert "Ensemble" not in busy_desk("leaderboard", search.id).stdout


def test_intervals_come_from_the_errors_out_of_fold(busy_desk: Desk, tmp_path: Path) -> None:
    """Half the width is a quantile of the distances out of fold; files and models carry it."""
    search = search_of(busy_desk, "values", name="intervals")
    found = busy_desk.master.ensemble(search.id)
    assert found is not None
    said = np.zeros(N_ROWS)
    for member in found.members:
        seen = busy_desk.master.predictions(search.id, member.trial)
        said[seen.rows] += member.weight * np.array(seen.predictions)[:, 0]
        truth = np.array(seen.truth)[np.argsort(seen.rows)]
    distances = np.sort(np.abs(said - truth))
    assert list(found.intervals) == ["0.5", "0.8", "0.9", "0.95", "0.99"]
    for share, rank in {"0.5": 61, "0.9": 109, "0.99": 120}.items():  # of 121
        assert found.intervals[share] == pytest.approx(distances[rank - 1], rel=1e-5)
    options = ["--dir", str(busy_desk.folder / "data")]
    (header, *values), _ = predict(search.id, table(), tmp_path, *options, "--interval", "0.9")
    assert header == ["much", "much_low", "much_high"]
    ends = np.array(values, float)
    assert ends[:, 1] == pytest.approx(ends[:, 0] - found.intervals["0.9"])
    assert ends[:, 2] == pytest.approx(ends[:, 0] + found.intervals["0.9"])
    model = tmp_path / "m.foldstep"
    assert busy_desk("export", search.id, "--format", "foldstep", "--out", str(model)).returncode == 0
    assert predict(str(model), table(), tmp_path, "--interval", "0.9")[0] == [header, *values]
    columns = {name: [row[name] for row in csv.DictReader(io.StringIO(table()))] for name in ("x", "z", "city")}
    assert load(model).predict_interval(columns, 0.9) == pytest.approx(ends[:, 1:])


def test_intervals_that_there_are_not(busy_desk: Desk, tmp_path: Path) -> None:
    search = search_of(busy_desk, "values", name="no-intervals")
    (tmp_path / "new.csv").write_text(table())
    options = ["--dir", str(busy_desk.folder / "data"), "--interval"]
    for words, said in ((["0.7"], "for 0.7 of the rows; it has them for 0.5, 0.8, 0.9, 0.95, 0.99"),
                        (["0.9", "--trial", "0"], "it has none")):  # fmt: skip
        done = foldstep("predict", search.id, "new.csv", *options, *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert "invalid_input" in done.stderr
    for case in ("classes", "labels", "targets", "quantiles"):
        found = busy_desk.master.ensemble(search_of(busy_desk, case, name=f"none-of-{case}").id)
        assert found is not None
        assert found.intervals == {}
