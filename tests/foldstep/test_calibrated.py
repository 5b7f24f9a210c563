"""Temperature and threshold of a real search, wherever its ensemble predicts: the same numbers in every form."""

from __future__ import annotations

import csv
import io
import json
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.metrics import f1_score, log_loss

import foldstep
from foldstep.model_file import WITHOUT_ADJUSTMENTS, read_model
from foldstep.models.checkpoint import read_arrays, read_facts
from foldstep.service.contract.ensemble import Ensemble
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.out_of_fold import TEST, FoldPredictions
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.probabilities import tempered, unweighted
from tests.foldstep.conftest import Desk, refused
from tests.foldstep.predicting import predict

N_ROWS = 240
LEARNED = {"lr": 0.05, "width": 24, "epochs": 40, "batch_size": 16, "class_weight": ["balanced", "none"]}


def noisy_table() -> str:
    """A rare class with noisy labels, of which networks without a penalty are far too sure."""
    rng = random.Random(6)
    rows = ["x,z,state"]
    for _ in range(N_ROWS):
        x, z = rng.gauss(0, 1), rng.gauss(0, 1)
        rows.append(f"{x:.4f},{z:.4f},{'bad' if rng.random() < (0.75 if x + z > 1 else 0.12) else 'a good one'}")
    return "\n".join(rows).replace("a good one", "alright") + "\n"


def search_of(desk: Desk, name: str, **changes: Any) -> SearchView:
    desk.write("noisy.csv", noisy_table())
    spec = {
        "name": name, "seed": 1, "method": "grid", "cv": {"folds": 3}, "metric": "log_loss", "parameters": LEARNED,
        "data": {"dataset": "noisy.csv", "target": "state", "test": 0.25}, **changes,
    }  # fmt: skip
    search = desk.master.wait(desk.master.submit(spec).id)
    assert search.state == "completed", search.notes
    return search


@pytest.fixture(scope="module")
def found(busy_desk: Desk) -> tuple[SearchView, Ensemble]:
    """A search whose ensemble has both; the trial that weighted classes is a member."""
    search = search_of(busy_desk, "cut", final={"threshold": {"metric": "balanced_accuracy"}})
    ensemble = busy_desk.master.ensemble(search.id)
    assert ensemble is not None
    return search, ensemble


def new_rows() -> str:
    return "\n".join(line.rpartition(",")[0] for line in noisy_table().splitlines()[:60]) + "\n"


def test_the_ensemble_says_what_both_bring(busy_desk: Desk, found: tuple[SearchView, Ensemble]) -> None:
    search, ensemble = found
    calibration, threshold = ensemble.calibration, ensemble.threshold
    assert calibration is not None
    assert threshold is not None
    assert calibration.temperature > 1.2
    assert calibration.n_rows == N_ROWS * 3 // 4
    assert calibration.after.log_loss < calibration.before.log_loss
    assert sum(one.n for one in calibration.after.curve) == calibration.n_rows
    told = " ".join(busy_desk("leaderboard", search.id).stdout.split())
    for note in ensemble.notes:
        assert note in told


def test_predictions_are_corrected_averaged_tempered_and_cut(
    busy_desk: Desk, found: tuple[SearchView, Ensemble], tmp_path: Path
) -> None:
    """Against the arithmetic from each checkpoint's own predictions."""
    search, ensemble = found
    temperature, threshold = ensemble.adjustments.temperature, ensemble.adjustments.threshold
    options = ["--dir", str(busy_desk.folder / "data")]
    total = np.zeros((59, 2))
    for member in ensemble.members:
        for name in member.checkpoints:
            file = Path(search.checkpoint_dir) / name
            (_, *said), _ = predict([file], new_rows(), tmp_path, "--proba", "--weighted")
            weights = read_facts(str(file))["target"]["class_weights"]
            shares = np.array(said, float)
            corrected = shares if weights is None else unweighted(shares, np.array(weights))
            total += member.weight / len(member.checkpoints) * corrected
    (header, *cells), done = predict(search.id, new_rows(), tmp_path, *options, "--proba")
    assert header == ["alright", "bad"]
    np.testing.assert_allclose(np.array(cells, float), tempered(total, temperature), rtol=1e-9)
    assert f"temperature of {temperature:.3g}" in done.stderr
    (_, *plain), done = predict(search.id, new_rows(), tmp_path, *options, "--proba", "--uncalibrated")
    np.testing.assert_allclose(np.array(plain, float), total, rtol=1e-9)
    assert "left out (--uncalibrated)" in done.stderr
    (_, *labels), done = predict(search.id, new_rows(), tmp_path, *options)
    cut = 0.5 if threshold is None else threshold
    assert threshold is not None
    assert [label for (label,) in labels] == [header[int(p > cut)] for p in tempered(total, temperature)[:, 1]]
    assert f"bad is predicted where its probability is above {threshold:.3g}" in done.stderr
    refused(busy_desk("predict", search.id, "noisy.csv", "--uncalibrated"), code="invalid_input")


def test_every_form_says_the_same(busy_desk: Desk, found: tuple[SearchView, Ensemble], tmp_path: Path) -> None:
    search, ensemble = found
    options = ["--dir", str(busy_desk.folder / "data")]
    (_, *cells), _ = predict(search.id, new_rows(), tmp_path, *options, "--proba")
    (_, *labels), _ = predict(search.id, new_rows(), tmp_path, *options)
    expected, classes = np.array(cells, float), [label for (label,) in labels]
    rows = [{"x": float(row["x"]), "z": float(row["z"])} for row in csv.DictReader(io.StringIO(new_rows()))]
    served = busy_desk.master.predict(search.id, rows, proba=True)
    np.testing.assert_allclose(np.array([served.columns["alright"], served.columns["bad"]]).T, expected, rtol=1e-9)
    assert busy_desk.master.predict(search.id, rows).columns["state"] == classes
    uncalibrated = busy_desk.master.predict(search.id, rows, proba=True, uncalibrated=True)
    assert "left out" in " ".join(uncalibrated.notes)
    files = {kind: tmp_path / f"m.{ending}" for kind, ending in (("foldstep", "foldstep"), ("onnx", "onnx"))}
    for kind, file in files.items():
        done = busy_desk("export", search.id, "--format", kind, "--out", str(file))
        assert done.returncode == 0, done.stderr
    model = foldstep.load(files["foldstep"])
    columns = {name: [row[name] for row in rows] for name in ("x", "z")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", foldstep.PredictionWarning)
        np.testing.assert_allclose(model.predict_proba(columns), expected, rtol=1e-9)
        with torch.no_grad():
            module = model.module(*map(torch.tensor, model.inputs(columns))).numpy()
    np.testing.assert_allclose(module, expected, atol=1e-5)
    assert model.predict(columns).tolist() == classes
    assert (model.temperature, model.threshold) == (ensemble.adjustments.temperature, ensemble.adjustments.threshold)
    session = onnxruntime.InferenceSession(files["onnx"], providers=["CPUExecutionProvider"])
    label, probabilities = session.run(None, {name: np.array(cells) for name, cells in columns.items()})
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert label.tolist() == classes
    card = read_model(files["foldstep"])
    assert (card.card["temperature"], card.card["threshold"]) == (model.temperature, model.threshold)
    assert "calibrated by a temperature" in card.card_text


def test_the_test_part_is_scored_as_it_is_predicted(busy_desk: Desk, found: tuple[SearchView, Ensemble]) -> None:
    search, ensemble = found
    model = busy_desk.master.finalize(search.id)
    assert model.test is not None
    assert (model.temperature, model.threshold) == (ensemble.adjustments.temperature, ensemble.adjustments.threshold)
    total, truth = mean_of_the_test_part(search, ensemble)
    assert model.test.score == pytest.approx(log_loss(truth, tempered(total, model.temperature)), rel=1e-5)
    assert "before calibration" in model.sentences[0]
    assert busy_desk.master.finalize(search.id) == model
    assert busy_desk.master.final(search.id).model == model


def mean_of_the_test_part(search: SearchView, ensemble: Ensemble) -> tuple[np.ndarray, np.ndarray]:
    total, truth = np.zeros((N_ROWS // 4, 2)), np.zeros(0)
    for member in ensemble.members:
        for name in member.checkpoints:
            file = str(Path(search.checkpoint_dir) / name)
            said = FoldPredictions.of(read_arrays(file, TEST), TEST)
            weights = read_facts(file)["target"]["class_weights"]
            assert said is not None
            shares, truth = said.predictions.astype(float), said.truth
            corrected = shares if weights is None else unweighted(shares, np.array(weights))
            total += member.weight / len(member.checkpoints) * corrected
    return total, truth


def test_a_metric_of_classes_is_scored_with_the_threshold(busy_desk: Desk) -> None:
    search = search_of(
        busy_desk, "cost", metric="f1", parameters={**LEARNED, "class_weight": "none", "lr": [0.02, 0.05]},
        final={"threshold": {"cost": {"false_positive": 1, "false_negative": 6}}},
    )  # fmt: skip
    ensemble, model = busy_desk.master.ensemble(search.id), busy_desk.master.finalize(search.id)
    assert ensemble is not None
    assert ensemble.threshold is not None
    assert ensemble.threshold.by == "cost"
    assert model.test is not None
    assert model.threshold is not None
    total, truth = mean_of_the_test_part(search, ensemble)
    said = tempered(total, model.temperature)[:, 1] > model.threshold
    assert model.test.score == pytest.approx(f1_score(truth, said), rel=1e-6)
    assert "without the threshold" in model.sentences[0]


def test_what_is_not_asked_for_is_not_there(
    busy_desk: Desk, found: tuple[SearchView, Ensemble], tmp_path: Path
) -> None:
    search = search_of(busy_desk, "plain", final={"calibrate": False})
    ensemble = busy_desk.master.ensemble(search.id)
    assert ensemble is not None
    assert (ensemble.calibration, ensemble.threshold) == (None, None)
    path = tmp_path / "plain.foldstep"
    assert busy_desk("export", search.id, "--format", "foldstep", "--out", str(path)).returncode == 0
    about = read_model(path).about
    assert about["version"] == WITHOUT_ADJUSTMENTS
    assert not {"temperature", "threshold"} & about.keys()
    assert foldstep.load(path).temperature == 1
    (_, *_), done = predict(
        found[0].id, new_rows(), tmp_path, "--dir", str(busy_desk.folder / "data"), "--proba", "--trial", "0"
    )
    assert "temperature" not in done.stderr  # out-of-fold rows were asked about the ensemble alone


BAD: dict[str, tuple[Any, str, str]] = {
    "both": ({"metric": "f1", "cost": {"false_positive": 1, "false_negative": 2}}, "final.threshold", "one of metric"),
    "no mapping": ("f1", "final.threshold", "threshold: {metric: f1}"),
    "neither": ({}, "final.threshold", "one of metric or cost"),
    "of probabilities": ({"metric": "roc_auc"}, "final.threshold.metric", "a metric of predicted classes"),
    "unknown": ({"metric": "f2"}, "final.threshold.metric", "f1"),
    "zero": ({"cost": {"false_positive": 0, "false_negative": 2}}, "final.threshold.cost.false_positive", "than 0"),
    "negative": (
        {"cost": {"false_positive": 1, "false_negative": -2}},
        "final.threshold.cost.false_negative",
        "than 0",
    ),
    "other keys": (
        {"cost": {"false_positive": 1, "false_negativ": 2}},
        "final.threshold.cost.false_negativ",
        "did you mean",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_wishes_that_contradict_themselves(case: str) -> None:
    threshold, path, words = BAD[case]
    with pytest.raises(SpecInvalid) as refusal:
        parse_spec({"name": "bad", "data": {"dataset": "t.csv", "target": "y"}, "final": {"threshold": threshold}})
    faults = {fault.path: str(fault) for fault in refusal.value.faults}
    assert words in faults[path]


def test_wishes_that_do_not_fit_the_data(busy_desk: Desk) -> None:
    busy_desk.write("three.csv", noisy_table().replace("alright\n", "fine\n", 40))
    wanted = {"threshold": {"metric": "f1"}, "calibrate": True}
    cases = [
        ({"dataset": "three.csv", "target": "state"}, {}, "two classes"),
        ({"dataset": "three.csv", "target": "x"}, {}, "no threshold with regression"),
        ({"dataset": "three.csv", "target": "x", "task": "regression"}, {}, "no calibrate with regression"),
        ({"dataset": "three.csv", "target": "state"}, {"checkpoints": {"predictions": False}}, "out-of-fold"),
    ]
    for data, more, words in cases:
        spec = {"name": "bad", "data": data, "parameters": {"width": 4}, "final": wanted, **more}
        with pytest.raises(SpecInvalid) as refusal:
            busy_desk.master.submit(spec)
        assert words in json.dumps([str(fault) for fault in refusal.value.faults])
