"""What a Gaussian process needs of its kernel."""

from __future__ import annotations

import numpy as np
import pytest

from foldstep.service.planner.acquisition import random_points
from foldstep.service.planner.gp import _matern, _Rows
from tests.service.planner.functions import MIXED


@pytest.mark.parametrize("inverse_length", [1e-4, 1e-2, 1.0, 1e4])
def test_the_kernel_is_positive_where_parameters_are_conditional(inverse_length: float) -> None:
    """With a distance of 1 from every value to "not active" it was not, and the factorisation failed."""
    rows = _Rows(MIXED)
    points = rows.of(random_points(MIXED, 150, np.random.default_rng(0)))
    correlation, _ = _matern(inverse_length * rows.squared_distances(points, points).sum(axis=0))
    assert np.linalg.eigvalsh(correlation).min() > -1e-12 * len(points)
