"""What the client gives in tables and files: trials, curves, checkpoints, models."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import foldstep
from foldstep.service.contract.errors import InvalidInput, NotFound
from foldstep.service.contract.leaderboard import SearchView
from tests.foldstep.conftest import Desk
from tests.foldstep.predicting import codes_table, trained


@pytest.fixture(scope="module")
def codes(busy_desk: Desk) -> SearchView:
    parameters = {"lr": [0.01, 1e20], "width": 8, "epochs": 4, "batch_size": 16}
    trained(busy_desk, "codes", codes_table(), parameters)
    (search,) = busy_desk.master.searches()
    return search


def test_trials_are_rows(busy_desk: Desk, codes: SearchView) -> None:
    frame = busy_desk.master.trials_frame("codes")
    trials = busy_desk.master.all_trials(codes.id)
    assert isinstance(frame, pd.DataFrame)
    assert frame["trial"].tolist() == [trial.trial for trial in trials]
    assert frame["lr"].tolist() == [trial.params["lr"] for trial in trials]
    assert frame["score"].dropna().tolist() == [trial.score for trial in trials if trial.score is not None]
    by_number = busy_desk.master.trials_frame("codes", order_by="number")
    assert by_number["trial"].tolist() == [0, 1]


def test_curves_are_rows(busy_desk: Desk, codes: SearchView) -> None:
    best = codes.best
    assert best is not None
    frame = busy_desk.master.curves_frame(codes.id, best.trial)
    curve = busy_desk.master.curves(codes.id, best.trial).curves[1]
    own = frame[frame.fold == 1]
    assert own["epoch"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(own["train_loss"], curve.train_loss)
    np.testing.assert_array_equal(own["score"], curve.score)
    assert list(busy_desk.master.curves_frame(codes.id).columns) == list(frame.columns)


WITHOUT_PANDAS = """
import json, sys
sys.modules["pandas"] = None
from foldstep import Foldstep
master = Foldstep(sys.argv[1], sys.stdin.readline())
frame = master.trials_frame("codes")
curves = master.curves_frame("codes", *frame["trial"])
print(json.dumps([type(frame).__module__, frame["trial"].to_list(), curves["trial"].unique().sort().to_list()]))
"""


def test_without_pandas_they_are_of_polars(busy_desk: Desk, codes: SearchView) -> None:
    master = busy_desk.master
    token = (busy_desk.folder / "data" / "token").read_text()
    argv = [sys.executable, "-c", WITHOUT_PANDAS, master.url]
    done = subprocess.run(argv, input=token.strip(), capture_output=True, text=True, check=True)
    module, numbers, with_curves = json.loads(done.stdout)
    assert module.startswith("polars.")
    assert numbers == [trial.trial for trial in master.all_trials(codes.id)]
    assert with_curves == [0, 1]


def test_checkpoints_are_downloaded_under_their_names(busy_desk: Desk, codes: SearchView, tmp_path: Path) -> None:
    files = busy_desk.master.download_checkpoints("codes", tmp_path / "new" / "folder")
    kept = [name for trial in busy_desk.master.all_trials(codes.id) for name in trial.checkpoints]
    assert [path.name for path in files] == kept
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(kept)
    for path in files:
        assert path.read_bytes() == (Path(codes.checkpoint_dir) / path.name).read_bytes()
    assert codes.best is not None
    one = busy_desk.master.download_checkpoints(codes.id, tmp_path, trial=codes.best.trial)
    assert [path.name for path in one] == codes.best.checkpoints
    without = next(t.trial for t in busy_desk.master.all_trials(codes.id) if not t.checkpoints)
    with pytest.raises(InvalidInput, match=f"keeps no checkpoints of trial {without}"):
        busy_desk.master.download_checkpoints(codes.id, tmp_path, trial=without)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be made"):
        busy_desk.master.download_checkpoints(codes.id, tmp_path / "file")


def test_a_model_is_downloaded_by_the_ending_of_its_file(busy_desk: Desk, codes: SearchView, tmp_path: Path) -> None:
    done = foldstep.download_model(busy_desk.master, "codes", tmp_path / "codes.foldstep", licence="MIT")
    assert (done.search, done.file) == (codes.id, str(tmp_path / "codes.foldstep"))
    assert foldstep.load(done.file).card["licence"] == "MIT"
    foldstep.download_model(busy_desk.master, "codes", str(tmp_path / "codes.onnx"))
    assert (tmp_path / "codes.onnx").stat().st_size > 100
    with pytest.raises(InvalidInput, match="force=True"):
        foldstep.download_model(busy_desk.master, "codes", done.file)
    foldstep.download_model(busy_desk.master, "codes", done.file, force=True)
    with pytest.raises(InvalidInput, match=r"ends in \.foldstep or \.onnx or \.pt2"):
        foldstep.download_model(busy_desk.master, "codes", tmp_path / "codes.pkl")
    with pytest.raises(NotFound):
        foldstep.download_model(busy_desk.master, "nothing", tmp_path / "other.foldstep")
