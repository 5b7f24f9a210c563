"""Canonical columns and the fingerprint over them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from foldstep.service.contract.columns import (
    CategoryColumn,
    NumberColumn,
    category_column,
    column_from_arrow,
    fingerprint,
)


def numbers(*values: float) -> NumberColumn:
    return NumberColumn(np.array(values, dtype=np.float64))


def test_labels_are_sorted_and_unused_ones_left_out() -> None:
    column = category_column(np.array([2, 0, -1, 2]), ["b", "unused", "a"])
    assert column.labels == ("a", "b")
    assert column.codes.tolist() == [0, 1, -1, 0]


def test_text_from_arrow() -> None:
    column = column_from_arrow(pa.array(["b", None, "a", "b"]))
    assert isinstance(column, CategoryColumn)
    assert (column.codes.tolist(), column.labels) == ([1, -1, 0, 1], ("a", "b"))


def test_numbers_from_arrow() -> None:
    column = column_from_arrow(pa.array([1.0, None, float("nan")], pa.float64()))
    assert isinstance(column, NumberColumn)
    np.testing.assert_array_equal(column.values, [1.0, np.nan, np.nan])


def test_the_fingerprint_does_not_see_how_nothing_and_zero_are_written() -> None:
    other_nan = np.array([0xFFF8000000000001], dtype=np.uint64).view(np.float64)[0]
    assert fingerprint({"a": numbers(np.nan, 0.0)}) == fingerprint({"a": numbers(float(other_nan), -0.0)})


BASE = {"a": numbers(1, 2), "b": category_column(np.array([0, 1]), ["x", "y"])}
OTHERS = {
    "a value": {**BASE, "a": numbers(1, 3)},
    "a label": {**BASE, "b": category_column(np.array([0, 1]), ["x", "z"])},
    "a code": {**BASE, "b": category_column(np.array([1, 0]), ["x", "y"])},
    "a gap": {**BASE, "a": numbers(1, np.nan)},
    "a name": {"A": BASE["a"], "b": BASE["b"]},
    "the order of columns": {"b": BASE["b"], "a": BASE["a"]},
    "the order of rows": {**BASE, "a": numbers(2, 1)},
    "the kind": {**BASE, "a": category_column(np.array([0, 1]), ["1", "2"])},
    "a column more": {**BASE, "c": numbers(0, 0)},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_the_fingerprint_sees_every_other_change(other: dict[str, NumberColumn | CategoryColumn]) -> None:
    assert fingerprint(other) != fingerprint(BASE)


def test_the_fingerprint_is_stable_across_versions() -> None:
    """Stored searches refer to data by it: a change of the format needs a migration."""
    assert fingerprint(BASE) == "e3d8159df11417299c368ba8f83b055e57e811d3fe6b0ff7671f52ae32dc71ef"
