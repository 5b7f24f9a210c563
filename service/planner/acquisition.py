"""The acquisition function (expected improvement) and the candidate points that it is evaluated at."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from foldstep.service.contract.space import Choices, Params, Space
from foldstep.service.planner.vectors import unit

Array: TypeAlias = npt.NDArray[np.float64]
WIDEST, NARROWEST = 0.3, 0.003  # standard deviations of a neighbour's coordinate, in units of the range


def expected_improvement(best: float, mean: Array, spread: Array) -> Array:
    """Compute E max(best - loss, 0) for a normally distributed loss (Jones, Schonlau and Welch 1998, equation 15).

    Args:
        best: the least loss so far.
        mean: expected loss of each point.
        spread: standard deviation of each point's loss, in the same shape.
    """
    spread = np.maximum(spread, 1e-9)
    z = (best - mean) / spread
    return np.asarray(spread * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)))


def random_points(space: Space, count: int, generator: np.random.Generator) -> list[Params]:
    """Draw points independently and uniformly from the unit cube of the space."""
    names = space.searched()
    return [space.from_unit(dict(zip(names, u, strict=True))) for u in generator.random((count, len(names))).tolist()]


def neighbour(space: Space, params: Params, generator: np.random.Generator) -> Params:
    """Draw a point near another one: change one or two of its parameters, those of ranges by a random normal step."""
    active = [n for n in space.searched() if n in params]
    place = {n: float(generator.random()) for n in space.searched() if n not in params}  # needed if they become active
    place |= {n: unit(space.parameters[n], params[n]) for n in active}
    for index in generator.integers(len(active), size=int(generator.integers(1, 3))) if active else ():
        place[active[index]] = _moved(space, active[index], place[active[index]], generator)
    return space.from_unit(place)


def _moved(space: Space, name: str, place: float, generator: np.random.Generator) -> float:
    distribution = space.parameters[name]
    if isinstance(distribution, Choices):  # any other choice
        n = len(distribution.choices)
        return (place + int(generator.integers(1, max(2, n))) / n) % 1.0
    step = float(WIDEST * (NARROWEST / WIDEST) ** generator.random() * generator.standard_normal())
    if place in (0.0, 1.0):  # from an edge, move into the range
        return min(abs(place - abs(step)), 1.0)
    return min(max(place + step, 0.0), 1.0)
