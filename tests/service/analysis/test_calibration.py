"""Intervals from out-of-fold errors cover the share of new rows that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from foldstep.service.analysis.calibration import LEVELS, half_widths, joined_rows
from foldstep.service.analysis.scores import Truth


def test_new_rows_are_covered_as_promised() -> None:
    """Of many tables of 200 rows with errors of heavy tails, new errors lie within as often as the levels say."""
    generator = np.random.default_rng(2)
    covered = {level: [] for level in LEVELS}
    for _ in range(300):
        errors, new = generator.standard_t(3, 200), generator.standard_t(3, 2000)
        for level, width in half_widths(errors, Truth(np.zeros(200))).items():
            covered[level].append((np.abs(new) <= width).mean())
    for level, shares in covered.items():
        assert np.mean(shares) == pytest.approx(level, abs=0.01)  # four standard errors of the mean at 0.5
        assert np.mean(shares) >= level - 0.007


def test_levels_that_few_rows_cannot_tell_are_left_out() -> None:
    assert list(half_widths(np.arange(9.0), Truth(np.zeros(9)))) == [0.5, 0.8, 0.9]
    assert half_widths(np.arange(9.0), Truth(np.zeros(9))) == {0.5: 4.0, 0.8: 7.0, 0.9: 8.0}
    assert half_widths(np.array([]), Truth(np.array([]))) == {}


def test_rows_of_all_folds_follow_each_other() -> None:
    first, second = Truth(np.array([1.0, 2.0]), np.array([1.0, 3.0])), Truth(np.array([3.0]), np.array([5.0]))
    said, truth = joined_rows([(np.array([[1.0, 2.0]]), first), (np.array([[3.0]]), second)])
    assert said.tolist() == [[1, 2, 3]]
    assert truth.values.tolist() == [1, 2, 3]
    assert truth.weight is not None
    assert truth.weight.tolist() == [1, 3, 5]
