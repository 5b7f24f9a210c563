"""Conversion of points of a space to rows of numbers, from which models learn.

A value of a range becomes its unit coordinate, from 0 to 1 in the range's scale; a choice becomes its index, or a
one-hot column for each choice, as choices have no order; an inactive hyperparameter becomes `INACTIVE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Choices, Distribution, Params, Space

INACTIVE = -1.0
"""The coordinate of a hyperparameter that a trial does not have."""
Array: TypeAlias = npt.NDArray[np.float64]


def unit(distribution: Distribution, value: Value) -> float:
    """Compute the unit coordinate of a value, clipped to 0 to 1 against rounding."""
    return min(max(distribution.to_unit(value), 0.0), 1.0)


def coordinate(distribution: Distribution, value: Value) -> float:
    """Compute the index of a choice, or the unit coordinate of a value of a range."""
    return distribution.choices.index(value) if isinstance(distribution, Choices) else unit(distribution, value)


def rows(space: Space, names: Sequence[str], points: Sequence[Params]) -> Array:
    """Write points as rows of coordinates, `INACTIVE` where one lacks a name; shape (points, names)."""
    found = [
        [coordinate(space.parameters[n], params[n]) if n in params else INACTIVE for n in names] for params in points
    ]
    return np.array(found, dtype=np.float64).reshape(len(points), len(names))


def rows_of_units(space: Space, names: Sequence[str], units: Array) -> Array:
    """Convert points of the unit cube, shape (points, names), to such rows: equal parts of [0, 1] become choices."""
    found = units.copy()
    for column, name in enumerate(names):
        distribution = space.parameters[name]
        if isinstance(distribution, Choices):
            n = len(distribution.choices)
            found[:, column] = np.floor(np.minimum(units[:, column] * n, n - 1))
    return found


def expanded(space: Space, names: Sequence[str], of: Array, inactive: float) -> Array:
    """Replace each column of choices by one-hot columns, one for each choice.

    Args:
        space: the space.
        names: names of the columns.
        of: rows of coordinates, shape (points, names), see `rows`.
        inactive: value in all one-hot columns of a list where the point does not have that hyperparameter.
    """
    columns = [_expanded(space.parameters[name], of[:, i], inactive) for i, name in enumerate(names)]
    return np.hstack(columns)


def _expanded(distribution: Distribution, column: Array, inactive: float) -> Array:
    if not isinstance(distribution, Choices):
        return column[:, None]
    chosen = (column[:, None] == np.arange(len(distribution.choices))).astype(np.float64)
    return np.where(column[:, None] == INACTIVE, inactive, chosen)
