"""Targets: any labels, exact storage, regression in units of the training part."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from foldstep.service.contract.columns import ColumnValues
from foldstep.worker.data.target import TargetCoder
from tests.worker.data.tables import numbers, texts

ALL = np.arange(4)


@pytest.mark.parametrize(
    ("column", "classes", "indices"),
    [
        (texts(["good", "bad", "good", "ugly"]), ("bad", "good", "ugly"), [1, 0, 1, 2]),
        (numbers([2, 1, 2, 1]), (1, 2), [1, 0, 1, 0]),
        (numbers([-1, 0.5, 7, 0.5]), (-1, 0.5, 7), [0, 1, 2, 1]),
        (texts(["10", "9", "9", "10"]), ("10", "9"), [0, 1, 1, 0]),
    ],
)
def test_any_labels(column: ColumnValues, classes: tuple[Any, ...], indices: list[int]) -> None:
    coder = TargetCoder.fit(column, ALL[:1], "classification")
    assert (coder.classes, coder.n_outputs) == (classes, len(classes))
    encoded = coder.encode(column, ALL)
    assert encoded.dtype == np.int64
    assert encoded.tolist() == coder.truth(column, ALL).tolist() == indices
    assert coder.labels(encoded) == [classes[i] for i in indices]
    again = TargetCoder.from_json(json.loads(json.dumps(coder.to_json())))
    assert again == coder
    assert [type(c) for c in again.classes or ()] == [type(c) for c in classes]


def test_regression_is_standardised_by_the_training_rows() -> None:
    values = np.random.default_rng(0).normal(100, 7, 50)
    column, train = numbers(values), np.arange(30)
    coder = TargetCoder.fit(column, train, "regression")
    assert (coder.mean, coder.scale, coder.n_outputs) == (values[:30].mean(), values[:30].std(), 1)
    encoded = coder.encode(column, train)
    assert encoded.dtype == np.float32
    assert (encoded.mean(), encoded.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))
    truth = coder.truth(column, np.arange(50))
    assert truth.dtype == np.float64
    np.testing.assert_array_equal(truth, values)
    np.testing.assert_allclose(coder.values(coder.encode(column, np.arange(50)), None), values, rtol=1e-6)
    assert TargetCoder.from_json(json.loads(json.dumps(coder.to_json()))) == coder


def test_a_constant_training_target_has_scale_one() -> None:
    coder = TargetCoder.fit(numbers([0.1] * 3 + [5.0]), ALL[:3], "regression")
    assert coder.scale == 1.0
    assert np.abs(coder.encode(numbers([0.1] * 4), ALL)).max() < 1e-6


def test_an_unknown_label_is_refused() -> None:
    coder = TargetCoder.fit(texts(["a", "b", "a", "b"]), ALL, "classification")
    with pytest.raises(ValueError, match="however: 'c'"):
        coder.encode(texts(["a", "c", "a", "a"]), ALL)


def test_a_regression_on_text_is_refused() -> None:
    with pytest.raises(TypeError, match="it is text"):
        TargetCoder.fit(texts(["1", "2", "3", "4"]), ALL, "regression")


def test_a_link_that_nobody_knows_is_refused() -> None:
    known = TargetCoder(classes=None, mean=1.0, scale=2.0, link="log").to_json()
    with pytest.raises(ValueError, match="expected a link among identity, log, however: logit"):
        TargetCoder.from_json({**known, "link": "logit"})


def test_quantiles_are_sorted_and_come_back_from_json() -> None:
    coder = TargetCoder.fit(numbers([1.0, 2.0, 4.0, 9.0]), ALL, "regression", quantiles=(0.1, 0.5, 0.9))
    assert coder.n_outputs == 3
    assert TargetCoder.from_json(coder.to_json()) == coder
    values = coder.values(np.array([[0.0, 2.0], [1.0, 1.0], [-1.0, 0.0]]), None)
    assert values.tolist() == (np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 2.0]]) * coder.scale + coder.mean).tolist()
    earlier = {name: value for name, value in coder.to_json().items() if name != "quantiles"}
    assert TargetCoder.from_json(earlier).quantiles == ()


def test_a_word_for_class_weights_that_nobody_knows_is_refused() -> None:
    column = texts(["good", "bad", "good", "ugly"])
    coder = TargetCoder.fit(column, ALL, "classification")
    with pytest.raises(ValueError, match="expected none, balanced or a mapping as class weights, however: inverse"):
        coder.class_weights("inverse", coder.encode(column, ALL))
