"""Splits: each kind does what it says, is a pure function of the seed, and mixes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldstep.service.contract.columns import NumberColumn, category_column
from foldstep.service.contract.folds import Splits, make_splits, marked_as_test, n_held_out
from foldstep.worker.data.load import Table
from tests.worker.data.tables import numbers, problem_of, table_of, texts

N = 200
RNG = np.random.default_rng(0)
CLASSES = RNG.permutation(["a"] * 120 + ["b"] * 60 + ["c"] * 20)
TABLE = table_of(
    x=numbers(RNG.normal(size=N)),
    y=texts(list(CLASSES)),
    real=numbers(RNG.normal(size=N)),
    group=texts([f"g{i}" for i in RNG.integers(0, 25, N)]),
    day=numbers(RNG.permutation(N).astype(float)),
    date=texts([f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in RNG.permutation(N)]),
    fold=numbers(RNG.integers(0, 3, N)),
    part=texts(["TEST" if i % 4 == 0 else "train" for i in range(N)]),
    is_test=numbers([float(i % 5 == 0) for i in range(N)]),
)

KINDS: dict[str, dict[str, Any]] = {
    "k folds": {},
    "k folds, not stratified": {"cv": {"folds": 5, "stratify": False}},
    "repeats": {"cv": {"folds": 4, "repeats": 3}},
    "holdout": {"cv": {"holdout": 0.25}},
    "holdouts": {"cv": {"holdout": 0.25, "repeats": 3}},
    "groups": {"cv": {"folds": 5, "group": "group"}},
    "repeated groups": {"cv": {"folds": 3, "group": "group", "repeats": 2}},
    "holdout of groups": {"cv": {"holdout": 0.25, "group": "group"}},
    "time": {"cv": {"folds": 5, "time": "day"}},
    "dates": {"cv": {"folds": 5, "time": "date"}},
    "holdout in time": {"cv": {"holdout": 0.25, "time": "day"}},
    "given": {"cv": {"column": "fold"}},
}
TESTS: dict[str, Any] = {"no test": None, "share": 0.2, "text": {"column": "part"}, "flag": {"column": "is_test"}}


def split(seed: int = 0, table: Table = TABLE, **parts: Any) -> Splits:
    problem = problem_of(seed=seed, **parts)
    return make_splits(table.columns, problem.data, problem.cv, problem.seed)


def same(a: Splits, b: Splits) -> bool:
    parts_a, parts_b = ([s.test, *(part for fold in s.folds for part in fold)] for s in (a, b))
    return len(parts_a) == len(parts_b) and all(map(np.array_equal, parts_a, parts_b))


@pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_parts_are_disjoint_sorted_and_reproducible(kind: dict[str, Any], test: Any) -> None:
    data = {} if test is None else {"test": test}
    splits = split(**kind, **data)
    assert same(splits, split(**kind, **data))
    for train, valid in splits.folds:
        together = np.concatenate([train, valid, splits.test])
        assert len(np.unique(together)) == len(together)
        assert len(train) > 0 < len(valid)
        for part in (train, valid, splits.test):
            assert (np.diff(part) > 0).all()
    if "time" not in kind.get("cv", {}):
        assert all(len(t) + len(v) + len(splits.test) == N for t, v in splits.folds)


@pytest.mark.parametrize("name", [n for n in KINDS if n not in ("time", "dates", "holdout in time", "given")])
def test_another_seed_splits_otherwise(name: str) -> None:
    assert not same(split(1, **KINDS[name]), split(2, **KINDS[name]))
    assert not same(split(1, **KINDS[name]), split(1 + 2**40, **KINDS[name]))


@pytest.mark.parametrize(
    "name", ["k folds", "k folds, not stratified", "repeats", "groups", "repeated groups", "given"]
)
def test_each_row_is_validated_once_a_repeat(name: str) -> None:
    splits = split(**KINDS[name])
    repeats = KINDS[name].get("cv", {}).get("repeats", 1)
    counts = np.bincount(np.concatenate([valid for _, valid in splits.folds]), minlength=N)
    assert (counts == repeats).all()


@pytest.mark.parametrize("name", ["repeats", "holdouts", "repeated groups"])
def test_repeats_differ(name: str) -> None:
    valid = [tuple(v) for _, v in split(**KINDS[name]).folds]
    assert len(set(valid)) == len(valid)


@pytest.mark.parametrize("kind", [{}, {"cv": {"holdout": 0.2}}, {"cv": {"folds": 5, "repeats": 2}}])
def test_classes_keep_their_shares(kind: dict[str, Any]) -> None:
    splits = split(**kind, test=0.2)
    assert [int((CLASSES[splits.test] == c).sum()) for c in "abc"] == [24, 12, 4]
    for _, valid in splits.folds:
        counts = [int((CLASSES[valid] == c).sum()) for c in "abc"]
        assert np.allclose(counts, np.array([96, 48, 16]) / 5, atol=1)


def test_without_stratification_and_for_regression_classes_are_not_looked_at() -> None:
    plain, regression = split(cv={"folds": 5, "stratify": False}), split(task="regression")
    assert same(plain, regression)
    assert not same(plain, split())


@pytest.mark.parametrize("name", ["groups", "repeated groups", "holdout of groups"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_group_is_on_one_side(name: str, task: str) -> None:
    groups = TABLE.columns["group"].codes  # type: ignore[union-attr]
    splits = split(**KINDS[name], task=task, test=0.2)
    assert 0.15 < len(splits.test) / N < 0.35
    for train, valid in splits.folds:
        sides = [set(groups[rows]) for rows in (train, valid, splits.test)]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 25


@pytest.mark.parametrize("name", ["time", "dates", "holdout in time"])
def test_the_future_is_never_trained_on(name: str) -> None:
    column = TABLE.columns[str(KINDS[name]["cv"]["time"])]
    time = column.values if isinstance(column, NumberColumn) else column.codes
    splits = split(**KINDS[name], test=0.2)
    assert len(splits.test) == 40
    for train, valid in splits.folds:
        assert time[train].max() < time[valid].min() <= time[valid].max() < time[splits.test].min()
    assert len(splits.folds) == (1 if name == "holdout in time" else 5)


def test_given_folds() -> None:
    fold = TABLE.columns["fold"].values  # type: ignore[union-attr]
    splits = split(cv={"column": "fold"}, test=0.3)
    assert [set(fold[valid]) for _, valid in splits.folds] == [{0.0}, {1.0}, {2.0}]
    for value in (0, 1, 2):  # the test part takes its share of each
        assert (fold[splits.test] == value).sum() == round(0.3 * (fold == value).sum())


def test_given_test_rows() -> None:
    assert split(test={"column": "part"}).test.tolist() == list(range(0, N, 4))
    assert split(test={"column": "is_test"}).test.tolist() == list(range(0, N, 5))


def test_the_test_part_does_not_depend_on_the_folds() -> None:
    assert np.array_equal(split(test=0.2).test, split(test=0.2, cv={"folds": 3, "repeats": 2}).test)


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(100, 0.2, 20), (101, 0.2, 20), (10, 0.99, 9), (10, 0.01, 1), (2, 0.5, 1), (2, 0.01, 1), (1, 0.5, 0), (0, 0.5, 0)],
)
def test_a_share_leaves_a_row_on_either_side(count: int, share: float, expected: int) -> None:
    assert n_held_out(count, share) == expected


def test_marks_of_test_rows() -> None:
    labels = ["test", "TEST", "True", "1", "train", "false", "0", "tests"]
    column = category_column(np.array([*range(8), -1]), labels)
    assert marked_as_test(column).tolist() == [True] * 4 + [False] * 5
    assert marked_as_test(NumberColumn(np.array([1.0, 0.0, 2.0, np.nan]))).tolist() == [True, False, False, False]
