"""What checkpoint files are good for by themselves: `predict`, `recover`; which of them stay, and their names."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.leaderboard import SearchView, TrialView
from tests.acceptance.processes import Processes, foldstep
from tests.foldstep.conftest import Desk, refused
from tests.foldstep.test_run import table

PARTS = ("a", "b", "c")


class Searched(NamedTuple):
    """A search at its end, and its table, whose column `part` says the fold of each row."""

    search: SearchView
    trials: list[TrialView]
    rows: list[dict[str, str]]

    @property
    def folder(self) -> Path:
        return Path(self.search.checkpoint_dir)

    def checkpoint(self, trial: int, fold: int) -> Path:
        return self.folder / self.trials[trial].checkpoints[fold]


def searched(desk: Desk, name: str, *, is_regression: bool, keep: Any = "all", **data: Any) -> Searched:
    path = table(desk.folder, is_regression=is_regression).rename(desk.folder / f"{name}.csv")
    rows = [{**row, "part": PARTS[i % 3]} for i, row in enumerate(csv.DictReader(io.StringIO(path.read_text())))]
    write(path, rows)
    spec = {
        "name": name, "data": {"dataset": path.name, "target": "target", **data}, "cv": {"column": "part"},
        "parameters": {"lr": {"low": 1e-2, "high": 1e-1, "log": True}, "epochs": 6, "patience": 3, "batch_size": 16,
                       "depth": [1, 2], "optimizer": ["adam", "nesterov"], "dropout": {"low": 0, "high": 0.3}},
        "budget": {"trials": 6}, "checkpoints": {"keep": keep},
    }  # fmt: skip
    begun = desk.master.submit(spec)
    search = desk.master.wait(begun.id)
    assert search.state == "completed"
    return Searched(search, desk.master.all_trials(begun.id), rows)


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def classified(busy_desk: Desk) -> Searched:
    return searched(busy_desk, "classified", is_regression=False)


@pytest.fixture(scope="module")
def regressed(busy_desk: Desk) -> Searched:
    return searched(busy_desk, "regressed", is_regression=True)


def predicted(
    checkpoint: Path, rows: list[dict[str, str]], folder: Path, *options: str, others: Sequence[Path] = ()
) -> list[list[str]]:
    """Header and rows that `foldstep predict` writes, for rows without their target and fold."""
    write(folder / "rows.csv", [{k: v for k, v in row.items() if k not in ("target", "part")} for row in rows])
    done = foldstep("predict", *map(str, [checkpoint, *others]), "rows.csv", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return list(csv.reader(io.StringIO(done.stdout)))


@pytest.mark.parametrize("fold", range(3))
def test_predictions_have_the_accuracy_of_the_leaderboard(classified: Searched, tmp_path: Path, fold: int) -> None:
    rows = [row for row in classified.rows if row["part"] == PARTS[fold]]
    header, *values = predicted(classified.checkpoint(0, fold), rows, tmp_path)
    assert header == ["target"]
    hits = [row["target"] == value for row, (value,) in zip(rows, values, strict=True)]
    assert sum(hits) / len(hits) == classified.trials[0].folds[fold]


def test_predictions_have_the_error_of_the_leaderboard(regressed: Searched, tmp_path: Path) -> None:
    rows = [row for row in regressed.rows if row["part"] == PARTS[1]]
    _, *values = predicted(regressed.checkpoint(0, 1), rows, tmp_path)
    errors = [float(row["target"]) - float(value) for row, (value,) in zip(rows, values, strict=True)]
    rmse = math.sqrt(math.fsum(e * e for e in errors) / len(errors))
    assert rmse == pytest.approx(regressed.trials[0].folds[1], rel=1e-6)


def test_probabilities_are_those_of_the_classes(classified: Searched, tmp_path: Path) -> None:
    checkpoint, rows = classified.checkpoint(0, 0), classified.rows[:20]
    header, *shares = predicted(checkpoint, rows, tmp_path, "--proba")
    _, *labels = predicted(checkpoint, rows, tmp_path)
    assert header == ["bad", "good"]
    for given, (label,) in zip(shares, labels, strict=True):
        numbers = [float(v) for v in given]
        assert sum(numbers) == pytest.approx(1, abs=1e-12)
        assert header[numbers.index(max(numbers))] == label


def test_several_checkpoints_predict_their_mean(classified: Searched, regressed: Searched, tmp_path: Path) -> None:
    for search, options in ((classified, ["--proba"]), (regressed, [])):
        folds, rows = [search.checkpoint(0, fold) for fold in range(3)], search.rows[:20]
        single = [predicted(fold, rows, tmp_path, *options)[1:] for fold in folds]
        _, *together = predicted(folds[0], rows, tmp_path, *options, others=folds[1:])
        assert np.array(together, float) == pytest.approx(np.mean(np.array(single, float), axis=0), rel=1e-12)


def test_several_checkpoints_name_the_class_of_their_mean(classified: Searched, tmp_path: Path) -> None:
    folds, rows = [classified.checkpoint(0, fold) for fold in range(3)], classified.rows[:40]
    header, *shares = predicted(folds[0], rows, tmp_path, "--proba", others=folds[1:])
    _, *labels = predicted(folds[0], rows, tmp_path, others=folds[1:])
    assert [label for (label,) in labels] == [header[int(np.argmax(np.array(given, float)))] for given in shares]


def test_checkpoints_that_predict_different_things_are_refused(
    classified: Searched, regressed: Searched, tmp_path: Path
) -> None:
    write(tmp_path / "rows.csv", classified.rows[:2])
    both = [str(search.checkpoint(0, 0)) for search in (classified, regressed)]
    refused(foldstep("predict", *both, "rows.csv", cwd=tmp_path), both[0], both[1], code="invalid_input")


def test_predict_knows_what_it_never_saw(classified: Searched, tmp_path: Path) -> None:
    strange = [{**row, "colour": "ultraviolet", "weight": ""} for row in classified.rows[:5]]
    _, *values = predicted(classified.checkpoint(0, 0), strange, tmp_path)
    assert len(values) == 5


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("size,is_new,weight\n1,true,2\n0,false,1\n", ("lacks", "colour")),
        ("size\n1\n0\n", ("colour", "is_new", "weight")),
    ],
)
def test_rows_without_their_columns_are_refused(
    classified: Searched, tmp_path: Path, content: str, names: tuple[str, ...]
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    done = foldstep("predict", str(classified.checkpoint(0, 0)), "rows.csv", cwd=tmp_path)
    refused(done, *names, code="invalid_input")


def recovered(folder: Path, cwd: Path) -> Any:
    done = foldstep("recover", str(folder), "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def comparable(trials: list[TrialView]) -> list[dict[str, Any]]:
    return [{"rank": t.rank, "trial": t.trial, "score": t.score, "params": t.params, "folds": t.folds} for t in trials]


def without_files(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "checkpoints"} for row in rows]


def test_checkpoints_alone_are_the_leaderboard(
    busy_desk: Desk, classified: Searched, regressed: Searched, tmp_path: Path
) -> None:
    found = recovered(busy_desk.folder / "data/checkpoints", tmp_path)
    assert found["damaged"] == []
    for one in (classified, regressed):
        assert without_files(found["searches"][one.search.id]) == comparable(one.trials)
    text = foldstep("recover", str(regressed.folder), cwd=tmp_path).stdout
    assert all(f"{t.score:.5f}" in text for t in regressed.trials)


def test_a_master_serves_what_checkpoints_alone_told(
    busy_desk: Desk, classified: Searched, regressed: Searched, tmp_path: Path
) -> None:
    """Nothing but the checkpoints is there; the new master has the searches with the same leaderboards."""
    shutil.copytree(busy_desk.folder / "data/checkpoints", tmp_path / "saved")
    done = foldstep("recover", "saved", "--into", "data", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "Start it: foldstep serve --dir data" in done.stdout
    assert [path for path in (tmp_path / "data").rglob("*") if path.stat().st_mode & 0o077] == []
    with Processes(tmp_path) as processes:
        _, master = processes.master()
        for one in (classified, regressed):
            search = master.search(one.search.id)
            assert search.state == "completed"
            assert any("Rebuilt from its checkpoints" in note for note in search.notes)
            rows = master.all_trials(search.id)
            assert comparable(rows) == comparable(one.trials)
            assert [row.checkpoints for row in rows] == [row.checkpoints for row in one.trials]
            assert [row.epoch for row in rows] == [row.epoch for row in one.trials]
            curves = master.curves(search.id, rows[0].trial).model_dump_json()
            assert json.loads(curves) == json.loads(busy_desk.master.curves(search.id, rows[0].trial).model_dump_json())
    refused(foldstep("recover", "saved", "--into", "data", cwd=tmp_path), "has searches already", code="conflict")


def test_a_file_to_predict_that_is_not_there_names_the_nearest(classified: Searched, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n1\n")
    files = sorted(str(path) for path in classified.folder.glob("*.safetensors"))
    done = foldstep("predict", files[0], "row.csv", cwd=tmp_path)
    refused(done, "There is no file row.csv; looked in", "did you mean rows.csv?", code="invalid_input")


def test_a_damaged_file_costs_nothing_but_itself(classified: Searched, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(classified.folder, copy)
    files = sorted(copy.iterdir())
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[: len(whole) // 2])
    changed = bytearray(files[1].read_bytes())
    changed[-3] ^= 1
    files[1].write_bytes(bytes(changed))
    (copy / "picture.safetensors").write_bytes(b"\x89PNG")
    found = recovered(copy, tmp_path)
    assert set(found["damaged"]) == {str(files[0]), str(files[1]), str(copy / "picture.safetensors")}
    (rows,) = found["searches"].values()
    assert without_files(rows) == comparable(classified.trials), "each trial has another fold's file, with all in it"
    (tmp_path / "rows.csv").write_text("x\n1\n")
    refused(foldstep("predict", str(files[1]), "rows.csv", cwd=tmp_path), str(files[1]), code="invalid_input")


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    done = foldstep("recover", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0
    assert "There are no checkpoints" in done.stdout


@pytest.mark.parametrize("is_regression", [False, True])
def test_names_are_a_ranking(classified: Searched, regressed: Searched, is_regression: bool) -> None:
    one = regressed if is_regression else classified
    names = sorted(p.name for p in one.folder.iterdir())
    parsed = [CheckpointName.parse(n) for n in names]
    assert all(parsed)
    scores = [p.score for p in parsed if p]
    assert len(scores) == 6 * 3
    assert scores == sorted(scores)
    folds = {t.trial: t.folds for t in one.trials}
    for p in parsed:
        assert p is not None
        assert (p.metric, f"{p.score:.5f}") == (one.search.metric.name, f"{folds[p.trial][p.fold]:.5f}")


def test_keep_leaves_exactly_the_best_trials_files(busy_desk: Desk) -> None:
    one = searched(busy_desk, "kept", is_regression=True, keep=2)
    files = {p.name for p in one.folder.iterdir()}
    best = [t for t in one.trials if t.rank in (1, 2)]
    assert files == {name for t in best for name in t.checkpoints}
    assert len(files) == 2 * 3
    assert all(t.checkpoints == [] for t in one.trials[2:])
    assert not (busy_desk.folder / "data/snapshots" / one.search.id).exists(), "nothing is left to go on from"


def test_keep_none_leaves_nothing(busy_desk: Desk) -> None:
    one = searched(busy_desk, "unkept", is_regression=True, keep="none")
    assert not one.folder.exists() or not list(one.folder.iterdir())
    assert [t.rank for t in one.trials] == [1, 2, 3, 4, 5, 6]


@pytest.fixture(scope="module")
def counted(busy_desk: Desk) -> Searched:
    """Counts over unequal spans of time."""
    generator = random.Random(0)
    rows = []
    for i in range(90):
        years, size = generator.uniform(0.2, 3.0), generator.uniform(-1, 1)
        count = sum(generator.random() < years * math.exp(size - 1) / 20 for _ in range(20))
        rows.append({"size": f"{size:.4f}", "years": f"{years:.4f}", "target": str(count), "part": PARTS[i % 3]})
    write(busy_desk.folder / "counted.csv", rows)
    spec = {
        "name": "counted", "metric": "poisson_deviance", "cv": {"column": "part"}, "budget": {"trials": 2},
        "data": {"dataset": "counted.csv", "target": "target", "task": "regression", "exposure": "years"},
        "parameters": {"loss": "poisson", "lr": [0.001, 0.003], "epochs": 5, "batch_size": 16},
    }  # fmt: skip
    search = busy_desk.master.wait(busy_desk.master.submit(spec).id)
    assert search.state == "completed"
    return Searched(search, busy_desk.master.all_trials(search.id), rows)


def test_predicted_counts_have_the_deviance_of_the_epoch_that_is_kept(
    counted: Searched, busy_desk: Desk, tmp_path: Path
) -> None:
    kept = CheckpointName.parse(counted.checkpoint(0, 2).name)
    assert kept is not None
    score = busy_desk.master.curves(counted.search.id, 0).curves[2].score[kept.epoch - 1]
    rows = [row for row in counted.rows if row["part"] == PARTS[2]]
    _, *values = predicted(counted.checkpoint(0, 2), rows, tmp_path)
    deviance = 0.0
    for row, (value,) in zip(rows, values, strict=True):
        count, mean = float(row["target"]), float(value)
        deviance += 2 * ((count * math.log(count / mean) if count else 0.0) - (count - mean))
    assert deviance / len(rows) == pytest.approx(score, rel=1e-6)


def test_a_count_is_not_predicted_without_its_exposure(counted: Searched, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("size\n0.5\n0.25\n")
    done = foldstep("predict", str(counted.checkpoint(0, 0)), "rows.csv", cwd=tmp_path)
    refused(done, "lacks", "years", code="invalid_input")
    (tmp_path / "rows.csv").write_text("size,years\n0.5,long\n0.25,1.5\n0.25,\n0.25,-1\n0.25,0\n")
    done = foldstep("predict", str(counted.checkpoint(0, 0)), "rows.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, *values = done.stdout.split("\n")[:-1]
    assert (header, values[0], values[2:]) == ("target", '""', ['""', '""', "0.0"])
    assert float(values[1]) > 0
    unfit, unknown = done.stderr.splitlines()
    assert unfit == "1 cell does not fit its column and counts as missing: years (1: 'long')."
    assert unknown.startswith("3 rows have no prediction: the exposure (years) is missing there or below 0")
