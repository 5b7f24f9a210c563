"""What the engine gets: right shapes and types, no leak of the validation part, a bounded cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits

from foldstep.models.catalog.preparation import Preparation
from foldstep.service.contract.features import feature_names
from foldstep.worker.data.inputs import FoldData, FoldSource
from foldstep.worker.data.load import Table
from tests.worker.data.tables import numbers, problem_of, table_of, texts


def bundled(loader: Any) -> Table:
    x, y = loader(return_X_y=True)
    return Table({**{f"x{i}": numbers(x[:, i]) for i in range(x.shape[1])}, "y": numbers(y)})


DIGITS, DIABETES = bundled(load_digits), bundled(load_diabetes)


def test_classification() -> None:
    source = FoldSource(DIGITS, problem_of(test=0.2))
    assert (source.n_folds, len(source.splits.test), source.features) == (5, 359, [f"x{i}" for i in range(64)])
    fold = source.fold(0, Preparation("standard"))
    train, valid = source.splits.folds[0]
    assert (fold.n_inputs, fold.n_outputs, len(train) + len(valid) + 359) == (64, 10, 1797)
    assert (fold.x_train.shape, fold.x_valid.shape) == ((len(train), 64), (len(valid), 64))
    assert [a.dtype for a in (fold.x_train, fold.y_train, fold.x_valid, fold.y_valid)] == [
        np.float32, np.int64, np.float32, np.int64,
    ]  # fmt: skip
    targets = load_digits().target
    np.testing.assert_array_equal(fold.y_train, targets[train])
    np.testing.assert_array_equal(fold.y_valid, targets[valid])
    varies = fold.x_train.std(axis=0) > 0
    np.testing.assert_allclose(fold.x_train[:, varies].std(axis=0), 1, atol=1e-4)


def test_regression() -> None:
    source = FoldSource(DIABETES, problem_of(task="regression", cv={"holdout": 0.25}))
    fold = source.fold(0, Preparation("minmax"))
    train, valid = source.splits.folds[0]
    assert (source.n_folds, fold.n_outputs) == (1, 1)
    assert (fold.y_train.dtype, fold.y_valid.dtype) == (np.float32, np.float64)
    target = load_diabetes().target
    np.testing.assert_array_equal(fold.y_valid, target[valid])
    np.testing.assert_allclose(fold.target.values(fold.y_train, None), target[train], rtol=1e-5)
    assert (fold.x_train.min(), fold.x_train.max()) == (0, 1)


def test_columns_that_say_how_to_split_are_no_features() -> None:
    columns = ["x", "y", "id", "group", "day", "part", "fold"]
    grouped = problem_of(cv={"folds": 2, "group": "group"}, test={"column": "part"}, ignore=["id"])
    assert feature_names(columns, grouped.data, grouped.cv) == ["x", "day", "fold"]
    timed = problem_of(cv={"folds": 2, "time": "day"})
    assert feature_names(columns, timed.data, timed.cv) == ["x", "id", "group", "part", "fold"]
    given = problem_of(cv={"column": "fold"})
    assert feature_names(columns, given.data, given.cv) == ["x", "id", "group", "day", "part"]


def bits(fold: FoldData) -> bytes:
    return fold.x_train.tobytes() + fold.y_train.tobytes()


@pytest.mark.parametrize("scaler", ["none", "standard", "minmax"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_validation_and_test_rows_change_no_bit_of_the_training_part(task: str, scaler: str) -> None:
    generator = np.random.default_rng(0)
    n = 120
    x, word = generator.normal(size=n), generator.choice(list("abc"), n)
    y = generator.integers(0, 2, n).astype(float) if task == "classification" else generator.normal(size=n)
    problem = problem_of(task=task, cv={"folds": 4, "stratify": False}, test=0.2)
    clean = FoldSource(table_of(x=numbers(x), word=texts(list(word)), y=numbers(y)), problem)
    for index in range(4):
        train, _ = clean.splits.folds[index]
        others = np.setdiff1d(np.arange(n), train)
        wild_x, wild_word, wild_y = x.copy(), list(word), y.copy()
        wild_x[others] = np.resize([np.nan, 1e30, -np.inf], len(others))
        for i in others:
            wild_word[i] = f"other {i}"
        wild_y[others] = 1 - y[others] if task == "classification" else 1e6
        wild = FoldSource(table_of(x=numbers(wild_x), word=texts(wild_word), y=numbers(wild_y)), problem)
        assert bits(wild.fold(index, Preparation(scaler))) == bits(clean.fold(index, Preparation(scaler)))


def test_folds_are_prepared_once_and_cannot_be_written() -> None:
    source = FoldSource(DIGITS, problem_of())
    fold = source.fold(1, Preparation("standard"))
    assert source.fold(1, Preparation("standard")) is fold
    assert source.fold(1, Preparation("minmax")) is not fold
    with pytest.raises(ValueError, match="read-only"):
        fold.x_train[0, 0] = 1.0


def test_the_cache_is_bounded_and_drops_what_was_not_used_longest() -> None:
    one = FoldSource(DIGITS, problem_of()).fold(0, Preparation("none")).nbytes
    source = FoldSource(DIGITS, problem_of(), cache_bytes=int(2.5 * one))
    first, second = source.fold(0, Preparation("none")), source.fold(1, Preparation("none"))
    assert source.fold(0, Preparation("none")) is first
    source.fold(2, Preparation("none"))
    assert source.fold(0, Preparation("none")) is first
    again = source.fold(1, Preparation("none"))
    assert again is not second
    assert bits(again) == bits(second)


def test_a_fold_larger_than_the_bound_is_still_handed_out() -> None:
    source = FoldSource(DIGITS, problem_of(), cache_bytes=1)
    assert source.fold(0, Preparation("none")) is source.fold(0, Preparation("none"))
