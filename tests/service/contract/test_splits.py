"""The rules of holding out rows."""

from __future__ import annotations

import numpy as np
import pytest

from foldstep.service.contract.columns import NumberColumn, category_column
from foldstep.service.contract.splits import marked_as_test, n_held_out


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
