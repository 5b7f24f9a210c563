"""The module and the graph say what `predict` says: every scaler, embedding, unit, target, on rows that are odd."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, reject, settings

from foldstep.ensemble import Ensemble, Matrix
from foldstep.loaded import Model
from foldstep.model_file import ModelFile
from foldstep.models.catalog.activations import ACTIVATIONS as EVERY_ACTIVATION
from foldstep.portable import answers, dates, network, scaling
from foldstep.portable.onnx_file import onnx_bytes, output_names
from foldstep.portable.torch_module import TorchOps
from foldstep.service.contract.features import DATE_PARTS
from foldstep.worker.data.scalers import SCALERS
from foldstep.worker.data.target_transforms import TRANSFORMS
from tests.foldstep.portable.networks import NothingTrained, mixed_table, train, train_on_classes
from tests.worker.train.test_packed import params

CLASSES: dict[str, dict[str, Any]] = {
    **{f"scaler {name}": {"scaler": name} for name in SCALERS},
    **{f"activation {name}": {"activation": name, "norm": "layer"} for name in EVERY_ACTIVATION},
    "batch norm, residual": {"norm": "batch", "skip": "residual", "parametrization": "ntk"},
    "glu": {"units": "glu", "activation": "silu", "activation_trained": "unit"},
    "maxout": {"units": "maxout", "norm": "batch"},
    "periodic": {"number_embedding": "periodic", "input_scale": "trained", "embedding_shared": "all"},
    "plr": {"number_embedding": "plr", "max_one_hot": 3, "missing_value": "trained"},
    "pbld": {"number_embedding": "pbld", "scaler": "robust_clip", "category_min_count": 5},
    "piecewise": {"number_embedding": "piecewise", "embedding_bins": 5, "max_one_hot": 2, "input_scale": "trained"},
    "weighted": {"class_weight": "balanced"},
}
NUMBERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {"target": "amount"}),
    "clamped": ({"clamp_output": "train", "lr": 0.5}, {"target": "amount"}),
    "log": ({"target_transform": "log"}, {"target": "share"}),
    "quantile": ({"target_transform": "quantile"}, {"target": "share"}),
    "yeo_johnson": ({"target_transform": "yeo_johnson"}, {"target": "share"}),
    "quantiles": ({"loss": "quantile"}, {"target": "amount", "quantiles": [0.1, 0.5, 0.9]}),
    "several": ({"target_transform": "yeo_johnson"}, {"target": ["amount", "share"]}),
    "counts": ({"loss": "poisson"}, {"target": "count", "exposure": "years", "task": "regression"}),
}


def model_of(folder: Path, parameters: dict[str, Any], **data: Any) -> Model:
    """An ensemble of two trials with unequal weights, as if it came from a file."""
    committees = []
    for i, (weight, seed) in enumerate(((3.0, 1), (1.0, 2))):
        (folder / str(i)).mkdir()
        found = train(folder / str(i), {"seed": seed, **parameters}, **data)
        committees.append(type(found)(weight, found.checkpoints, i))
    return Model(ModelFile(Ensemble.load(committees), {}, {}, ""))


def new_rows(n: int = 60) -> dict[str, list[Any]]:
    """Other rows of the table, in types of Python: with categories that training did not have, and none."""
    rows = list(csv.DictReader(io.StringIO(mixed_table(n, seed=8))))
    columns: dict[str, list[Any]] = {name: [row[name] or None for row in rows] for name in rows[0]}
    for name in ("size (m²)", "cost", "tail", "years"):
        columns[name] = [None if cell is None else float(cell) for cell in columns[name]]
    for name in ("built", "seen"):
        columns[name] = [
            None if cell is None else datetime.fromisoformat(cell).replace(tzinfo=UTC) for cell in columns[name]
        ]
    columns["cost"][:3] = [float("inf"), 1e200, -1e30]
    columns["years"][:2] = [None, -1.0]
    columns["town"][:3] = ["Paris", None, "NA"]
    columns["street"][:2] = ["s999", "s20"]
    columns["open"][:4] = ["TRUE", "false", "1", "perhaps"]
    return columns


def fed(model: Model, columns: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    """The rows as a graph takes them."""
    kinds = {column.name: column.kind for column in model._ensemble.first.reading.columns}
    return {name: _fed(kinds[name], columns[name]) for name in model.columns}


def _fed(kind: str, cells: Sequence[Any]) -> np.ndarray:
    if kind == "category":
        return np.array(["" if cell is None else str(cell) for cell in cells], dtype=object)
    if kind == "date":
        return np.array([np.nan if cell is None else cell.timestamp() for cell in cells])
    return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)


def close(found: Matrix, expected: Matrix) -> None:
    assert found.shape == expected.shape
    assert (np.isnan(found) == np.isnan(expected)).all()
    scale = np.abs(expected[np.isfinite(expected)]).max() * 1e-6
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=scale)


def from_module(model: Model, columns: dict[str, list[Any]]) -> Matrix:
    with torch.no_grad():
        inputs = [torch.tensor(matrix) for matrix in model.inputs(columns)]
        return np.asarray(model.module(*inputs).numpy())


def from_graph(model: Model, columns: dict[str, list[Any]]) -> list[np.ndarray]:
    content = onnx_bytes(model._ensemble, {})
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == output_names(model._ensemble)
    found: list[np.ndarray] = session.run(None, fed(model, columns))
    return found


@pytest.mark.filterwarnings("ignore::foldstep.loaded.PredictionWarning")
@pytest.mark.parametrize("name", CLASSES)
def test_classes(name: str, tmp_path: Path) -> None:
    model, columns = model_of(tmp_path, CLASSES[name]), new_rows()
    expected = model.predict_proba(columns)
    close(from_module(model, columns), expected)
    labels, probabilities = from_graph(model, columns)
    close(probabilities, expected)
    said = model.predict(columns)
    assert labels[said != None].tolist() == said[said != None].tolist()  # noqa: E711 — element by element


@pytest.mark.filterwarnings("ignore::foldstep.loaded.PredictionWarning")
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str, tmp_path: Path) -> None:
    parameters, data = NUMBERS[name]
    model, columns = model_of(tmp_path, parameters, **data), new_rows()
    expected = model.predict(columns)
    found = from_module(model, columns)
    if "exposure" in data:
        assert np.isnan(expected[:2]).all()
        years = fed(model, columns)["years"]
        found = found * np.where(years >= 0, years, np.nan)
    close(found, expected)
    close(from_graph(model, columns)[0], expected)


@pytest.mark.filterwarnings("ignore::foldstep.loaded.PredictionWarning")
def test_labels(tmp_path: Path) -> None:
    model, columns = model_of(tmp_path, {}, target=["spam", "mood"]), new_rows()
    expected, said = model.predict_proba(columns), model.predict(columns)
    close(from_module(model, columns), expected)
    spam, mood, probabilities = from_graph(model, columns)
    close(probabilities, expected)
    assert (spam.dtype, spam.tolist(), mood.tolist()) == (np.int64, said[:, 0].tolist(), said[:, 1].tolist())


def test_two_classes_that_are_numbers_and_no_rows(tmp_path: Path) -> None:
    model = model_of(tmp_path, {}, target="spam")
    none: dict[str, list[Any]] = {name: [] for name in new_rows()}
    labels, probabilities = from_graph(model, none)
    assert (labels.dtype, labels.shape, probabilities.shape) == (np.int64, (0,), (0, 2))


@pytest.mark.filterwarnings("ignore::foldstep.loaded.PredictionWarning")
@settings(max_examples=12)
@given(trial=params)
def test_any_network(trial: dict[str, Any]) -> None:
    """Hyperparameters from the whole table, at once; float32 of many layers rounds more than of one."""
    with TemporaryDirectory() as folder:
        try:
            committee = train_on_classes(Path(folder), {**trial, "epochs": 2})
        except NothingTrained:
            reject()
        model, columns = Model(ModelFile(Ensemble.load([committee]), {}, {}, "")), new_rows()
        expected = model.predict_proba(columns)
        for found in (from_module(model, columns), from_graph(model, columns)[1]):
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("part", DATE_PARTS)
def test_numbers_of_dates_in_every_century(part: str) -> None:
    days = np.arange(-140_000, 160_000) * 86_400.0  # from 1586 to 2408
    seconds = np.concatenate([days, days + 86_399.5, days[::97] + 43_200.25])
    found = dates.PARTS[part](TorchOps(), torch.tensor(seconds)).numpy()
    np.testing.assert_allclose(found, DATE_PARTS[part](seconds), rtol=1e-12, atol=1e-9)


def test_every_name_has_a_formula() -> None:
    assert set(scaling.SCALINGS) == set(SCALERS)
    assert set(network.ACTIVATIONS) == set(EVERY_ACTIVATION)
    assert set(answers.UNDO) == set(TRANSFORMS)
    assert set(dates.PARTS) == set(DATE_PARTS)
