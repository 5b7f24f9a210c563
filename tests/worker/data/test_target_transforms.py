"""Transforms of a target: those of scikit-learn, undone in predictions, bounded where an inverse has no value."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, QuantileTransformer, StandardScaler

from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.models.catalog.preparation import Preparation
from foldstep.service.contract.columns import NumberColumn
from foldstep.worker.data.target import TargetCoder
from foldstep.worker.data.target_transforms import TRANSFORMS

Y = np.exp(np.random.default_rng(1).normal(size=400)) * 1e5 + 7
ROWS = np.arange(300)
ORACLES: dict[str, Any] = {
    "log": FunctionTransformer(np.log, np.exp),
    "quantile": QuantileTransformer(n_quantiles=300, output_distribution="normal"),
    "yeo_johnson": make_pipeline(StandardScaler(), PowerTransformer(standardize=False)),
}


def coder(name: str, y: Any = Y, *, clamps: bool = False) -> TargetCoder:
    how = Preparation(target_transform=name, clamps=clamps)
    return TargetCoder.fit(NumberColumn(np.asarray(y, dtype=float)), ROWS[: len(y)], "regression", how)


def test_every_name_of_a_transform_has_one() -> None:
    assert ("none", *TRANSFORMS) == REGISTRY["target_transform"].choices


@pytest.mark.parametrize("name", TRANSFORMS)
def test_agrees_with_scikit_learn_there_and_back(name: str) -> None:
    fitted = coder(name)
    oracle = make_pipeline(ORACLES[name], StandardScaler()).fit(Y[ROWS, None])
    expected = oracle.transform(Y[:, None])[:, 0]
    np.testing.assert_allclose(fitted.encode(NumberColumn(Y), np.arange(400)), expected, rtol=1e-4, atol=1e-5)
    outputs = np.linspace(-1.5, 1.5, 50)
    back = oracle.inverse_transform(outputs[:, None])[:, 0]
    np.testing.assert_allclose(fitted.values(outputs[None], None)[0], back, rtol=1e-5)


@pytest.mark.parametrize("clamps", [False, True])
@pytest.mark.parametrize("name", ["none", *TRANSFORMS])
def test_predictions_are_in_the_target_s_units(name: str, clamps: bool) -> None:
    fitted = coder(name, clamps=clamps)
    learned = fitted.encode(NumberColumn(Y), ROWS)
    np.testing.assert_allclose(fitted.values(learned, None), Y[ROWS], rtol=1e-3)
    again = TargetCoder.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    far = fitted.values(np.array([-1e3, 1e3, np.nan]), None)
    assert np.isnan(far[2])
    if clamps:
        assert far[:2].tolist() == [Y[ROWS].min(), Y[ROWS].max()]


def test_yeo_johnson_has_a_value_for_every_output() -> None:
    for y in (Y, -Y, np.random.default_rng(2).normal(size=300), np.arange(300.0) ** 4):
        fitted = coder("yeo_johnson", y)
        far = fitted.values(np.array([-1e30, -50.0, 50.0, 1e30]), None)
        known, width = y[ROWS], np.ptp(y[ROWS])
        assert np.isfinite(far).all()
        assert known.min() - 1.001 * width <= far.min()
        assert far.max() <= known.max() + 1.001 * width


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_constant_training_part_gives_its_value(name: str) -> None:
    assert coder(name, np.full(20, 3.0)).values(np.zeros(1), None) == pytest.approx([3.0])


def test_counts_and_classes_have_neither() -> None:
    column = NumberColumn(np.array([0.0, 1.0, 2.0, 1.0]))
    rows = np.arange(4)
    counts = TargetCoder.fit(column, rows, "regression", Preparation(link="log"))
    classes = TargetCoder.fit(column, rows, "classification", Preparation(target_transform="log", clamps=True))
    assert (counts.transform, classes.transform, classes.is_affine) == ("none", "none", True)


def test_a_file_of_an_earlier_version_is_read() -> None:
    known = {"classes": None, "mean": 2.0, "scale": 3.0, "link": "identity"}
    assert TargetCoder.from_json(known).values(np.array([1.0]), None).tolist() == [5.0]
    assert coder("none").to_json().keys() == {*known, "quantiles"}
