"""Searches for several targets and for several labels, from the spec to predictions."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from foldstep.display_diagnostics import shown
from foldstep.worker.predictor import Predictor
from tests.acceptance.processes import foldstep
from tests.foldstep.conftest import Desk
from tests.foldstep.predicting import predict, trained

PARAMETERS = {"lr": [0.02, 0.05], "width": 16, "epochs": 60, "batch_size": 16}


def table() -> str:
    """Two numbers and two labels that features tell, one label in words; four rows lack one of them."""
    rng = random.Random(4)
    rows = ["x,z,much,little,spam,mood"]
    for i in range(150):
        x, z = rng.gauss(0, 1), rng.gauss(0, 1)
        little = "" if i in (7, 70, 140) else f"{0.001 * (z - x):.6f}"
        spam = "" if i == 9 else int(x > 0.8)
        rows.append(f"{x:.4f},{z:.4f},{1000 * (x + z):.2f},{little},{spam},{'glad' if z > x else 'sad'}")
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def numbers(busy_desk: Desk) -> list[Path]:
    parameters = {**PARAMETERS, "target_transform": "yeo_johnson", "clamp_output": "train"}
    names = ["much", "little"]
    return trained(busy_desk, "numbers", table(), parameters, target=names, ignore=["spam", "mood"])


@pytest.fixture(scope="module")
def labels(busy_desk: Desk) -> list[Path]:
    return trained(busy_desk, "labels", table(), PARAMETERS, target=["spam", "mood"], ignore=["much", "little"])


NEW = "x,z\n1.5,0.5\n-1,1\n0.2,-1\n"


def test_each_target_has_a_column_in_its_own_units(numbers: list[Path], tmp_path: Path) -> None:
    (header, *rows), done = predict(numbers, NEW, tmp_path)
    assert header == ["much", "little"]
    assert done.stderr == ""
    said = np.array(rows, float)
    assert said[:, 0] == pytest.approx([2000, 0, -800], abs=300)
    assert said[:, 1] == pytest.approx([-0.001, 0.002, -0.0012], abs=5e-4)
    alone = [np.array(predict([path], NEW, tmp_path)[0][1:], float) for path in numbers]
    assert said == pytest.approx(np.mean(alone, axis=0), rel=1e-6)
    refused = foldstep("predict", str(numbers[0]), "new.csv", "--proba", cwd=tmp_path)
    assert refused.returncode == 1
    assert "much, little are numbers and have no classes: leave out --proba." in refused.stderr


def test_each_label_has_a_column_or_the_probability_of_its_second_class(labels: list[Path], tmp_path: Path) -> None:
    (header, *rows), _ = predict(labels, NEW, tmp_path)
    assert header == ["spam", "mood"]
    assert rows == [["1", "sad"], ["0", "glad"], ["0", "sad"]]
    (header, *shares), _ = predict(labels, NEW, tmp_path, "--proba")
    assert header == ["spam_1", "mood_sad"]
    is_second = np.array([[1, 1], [0, 0], [0, 1]], bool)
    assert ((np.array(shares, float) > 0.5) == is_second).all()


def test_labels_whose_probabilities_have_the_same_name_keep_a_column_each(busy_desk: Desk, tmp_path: Path) -> None:
    """`a` has the class `b_yes` and `a_b` the class `yes`: both would be `a_b_yes`."""
    rows = [f"{x},{'b_yes' if x > 20 else 'b_no'},{'yes' if x % 2 else 'no'}" for x in range(40)]
    parameters = {**PARAMETERS, "lr": 0.02, "epochs": 2}
    paths = trained(busy_desk, "alike", "\n".join(["x,a,a_b", *rows]) + "\n", parameters, target=["a", "a_b"])
    (header, *shares), _ = predict(paths, "x\n1\n30\n", tmp_path, "--proba")
    assert header == ["a_b_yes (a)", "a_b_yes (a_b)"]
    assert [len(row) for row in shares] == [2, 2]


def test_checkpoints_of_other_targets_do_not_go_together(
    numbers: list[Path], labels: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text(NEW)
    refused = foldstep("predict", str(numbers[0]), str(labels[0]), "new.csv", cwd=tmp_path)
    assert refused.returncode == 1
    assert "give checkpoints of the same targets in the same order" in " ".join(refused.stderr.split())


def test_rows_left_out_are_told(busy_desk: Desk, numbers: list[Path]) -> None:
    del numbers
    (search,) = (s for s in busy_desk.master.searches() if s.name == "numbers")
    notes = busy_desk.master.search(search.id).notes
    assert any("2 targets (much, little)" in note for note in notes), notes
    assert any(note.startswith("3 rows are left out") and "(little 3)" in note for note in notes), notes


def test_a_trial_shows_the_scores_of_each_target(busy_desk: Desk, numbers: list[Path], labels: list[Path]) -> None:
    del numbers, labels
    for name, targets in (("numbers", ["much", "little"]), ("labels", ["spam", "mood"])):
        (search,) = (s for s in busy_desk.master.searches() if s.name == name)
        seen, row = busy_desk.master.diagnostics(search.id, 0), busy_desk.master.trial(search.id, 0)
        assert seen.targets == targets
        own = np.array([seen.folds[fold].target_scores for fold in range(3)], float)
        assert own.shape == (3, 2)
        assert own.mean(axis=1) == pytest.approx(row.folds, rel=1e-12)
        console = Console(width=100, file=io.StringIO())
        for part in shown(seen):
            console.print(part)
        said = console.file.getvalue()  # type: ignore[attr-defined]
        for target, scores in zip(targets, own.T, strict=True):
            (line,) = (line for line in said.splitlines() if target in line.split())
            assert [float(cell) for cell in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", line)] == pytest.approx(
                [scores.mean(), *scores], rel=1e-3
            )


def test_a_checkpoint_of_other_targets_is_told_apart(numbers: list[Path], labels: list[Path], tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(NEW)
    done = foldstep("predict", str(numbers[0]), str(labels[0]), "new.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "predicts something else" in done.stderr


def test_checkpoints_say_what_each_target_is(numbers: list[Path], labels: list[Path]) -> None:
    assert [coder.transform for coder in Predictor.load(numbers[0]).target.each] == ["yeo_johnson"] * 2
    assert Predictor.load(labels[0]).classes_of_labels == ((0, 1), ("glad", "sad"))
    assert Predictor.load(labels[0]).target_names == ["spam", "mood"]


def test_searches_come_back_from_the_files_alone(numbers: list[Path], labels: list[Path], tmp_path: Path) -> None:
    for models in (numbers, labels):
        done = foldstep("recover", str(models[0].parent), "--into", f"data-{models[0].parent.name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert models[0].parent.name in done.stdout
