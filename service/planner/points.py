"""The points of a space as a set: their number, those that were proposed, and further ones that were not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import (
    Choices,
    Distribution,
    Either,
    FloatRange,
    IntRange,
    Joined,
    Params,
    Space,
    Values,
)
from foldstep.service.planner.grid import Grid, grid_values

MAX_DRAWS = 20  # random draws, before all points are tried in turn
FINE = 2**20  # values that approximate a range without steps
PATIENCE = 1000  # extra steps of a walk through such values before it gives up
_GOLDEN = (math.sqrt(5) - 1) / 2


def n_points(space: Space) -> int | None:
    """Count the configurations of a space; None where a range without steps makes them unlimited."""
    if any(_is_continuous(d) for d in space.parameters.values()):
        return None
    return Grid(space, _all_values).n_points


class Unseen:
    """The configurations of a space that were not taken yet.

    Two configurations are the same if they agree in every searched parameter, including a searched seed.
    """

    def __init__(self, space: Space, seen: Iterable[Params] = ()) -> None:
        """Start with the configurations in `seen` already taken."""
        self._space = space
        self._names = space.searched()
        self._seen = {self._key(params) for params in seen}
        self._grid = Grid(space, _all_values)

    def take(self, params: Params) -> bool:
        """Take a configuration; return False if it was taken before."""
        key = self._key(params)
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new

    def take_any(self, generator: np.random.Generator) -> Params | None:
        """Take a random configuration that was not taken yet; None where none is found."""
        for _ in range(MAX_DRAWS):
            params = self._space.from_unit({name: generator.random() for name in self._names})
            if self.take(params):
                return params
        return self._walk(generator)

    def _walk(self, generator: np.random.Generator) -> Params | None:
        """Try all points in strides of the golden ratio of their number, which finds remaining ones early."""
        size = self._grid.n_points
        start, stride = int(generator.random() * size), _coprime(int(size * _GOLDEN), size)
        for step in range(min(size, len(self._seen) + PATIENCE) if size >= FINE else size):
            params = self._grid.point((start + step * stride) % size)
            if self.take(params):
                return params
        return None

    def _key(self, params: Params) -> str:
        return json.dumps([(name, params[name]) for name in self._names if name in params])


def _coprime(number: int, size: int) -> int:
    number = max(1, number)
    while math.gcd(number, size) != 1:
        number += 1
    return number


def _is_continuous(distribution: Distribution) -> bool:
    if isinstance(distribution, Either):
        return _is_continuous(distribution.range)
    return isinstance(distribution, FloatRange) and distribution.step is None and distribution.low < distribution.high


def _all_values(name: str, distribution: Distribution) -> Values:
    if isinstance(distribution, Either):
        return Joined(distribution.extra, _all_values(name, distribution.range))
    if isinstance(distribution, FloatRange) and _is_continuous(distribution):
        return _FineValues(distribution)
    if isinstance(distribution, FloatRange) and distribution.step is None:
        return [distribution.low]
    if isinstance(distribution, IntRange):
        return distribution.values()
    if isinstance(distribution, Choices):
        return _distinct(distribution.choices)
    return grid_values(name, distribution)


def _distinct(values: list[Value]) -> list[Value]:
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


class _FineValues:
    """`FINE` values of a range without steps, evenly spaced in its scale and computed on access."""

    def __init__(self, distribution: FloatRange) -> None:
        self._distribution = distribution

    def __len__(self) -> int:
        return FINE

    def __getitem__(self, index: int, /) -> float:
        return self._distribution.from_unit(index / (FINE - 1))

    def index(self, value: Any, /) -> int:
        index = round(self._distribution.to_unit(value) * (FINE - 1))
        if not 0 <= index < FINE or self[index] != value:
            raise ValueError(value)
        return index
