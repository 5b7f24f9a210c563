"""Write points of a space as rows of numbers, which is what models learn from.

A range becomes its unit coordinate, from 0 to 1 in its own scale; a list of choices becomes the number of the choice,
or a column for each choice, for choices have no order; what a trial does not have becomes `INACTIVE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.models.hyperparameters import Value
from foldstep.service.contract.space import Choices, Distribution, Params, Space

INACTIVE = -1.0
"""The coordinate of a hyperparameter that a trial does not have."""
Array: TypeAlias = npt.NDArray[np.float64]


def unit(distribution: Distribution, value: Value) -> float:
    """Give the place of a value in its range, from 0 to 1; rounding does not carry it outside."""
    return min(max(distribution.to_unit(value), 0.0), 1.0)


def coordinate(distribution: Distribution, value: Value) -> float:
    """Give the number of a choice, or the place of a value in its range."""
    return distribution.choices.index(value) if isinstance(distribution, Choices) else unit(distribution, value)


def rows(space: Space, names: Sequence[str], points: Sequence[Params]) -> Array:
    """Write points as rows of coordinates, `INACTIVE` where one lacks a name; shape (points, names)."""
    found = [
        [coordinate(space.parameters[n], params[n]) if n in params else INACTIVE for n in names] for params in points
    ]
    return np.array(found, dtype=np.float64).reshape(len(points), len(names))


def rows_of_units(space: Space, names: Sequence[str], units: Array) -> Array:
    """Write points of the unit cube, (points, names), as such rows: a choice's share of [0, 1] is its number."""
    found = units.copy()
    for column, name in enumerate(names):
        distribution = space.parameters[name]
        if isinstance(distribution, Choices):
            n = len(distribution.choices)
            found[:, column] = np.floor(np.minimum(units[:, column] * n, n - 1))
    return found


def expanded(space: Space, names: Sequence[str], of: Array, inactive: float) -> Array:
    """Give every choice a column of its own, 1 where it is chosen.

    Args:
        space: the space.
        names: of the columns.
        of: rows of coordinates, see `rows`.
        inactive: what all columns of a list hold where the trial does not have it.
    """
    columns = [_expanded(space.parameters[name], of[:, i], inactive) for i, name in enumerate(names)]
    return np.hstack(columns)


def _expanded(distribution: Distribution, column: Array, inactive: float) -> Array:
    if not isinstance(distribution, Choices):
        return column[:, None]
    chosen = (column[:, None] == np.arange(len(distribution.choices))).astype(np.float64)
    return np.where(column[:, None] == INACTIVE, inactive, chosen)
