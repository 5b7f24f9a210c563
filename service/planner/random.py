"""Random search: each value comes from its own random stream, keyed by seed, trial number and parameter."""

from __future__ import annotations

import zlib

import numpy as np

from foldstep.service.contract.space import Params, Space
from foldstep.service.planner.base import IndexedPlanner


def draw(seed: int, number: int, name: str) -> float:
    """Draw a number from [0, 1) with 53 random bits.

    Philox is a counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so
    every (seed, name) is a key and every trial a position in its stream: parameters and trials draw independently,
    and a further parameter does not change the draws of the others.
    """
    stream = np.random.Philox(key=[seed, zlib.crc32(name.encode())], counter=[0, 0, 0, number])
    return int(stream.random_raw() >> 11) * 2.0**-53


def random_params(space: Space, seed: int, number: int) -> Params:
    """Draw the point of `space` for trial `number`."""
    return space.from_unit({name: draw(seed, number, name) for name in space.searched()})


class RandomPlanner(IndexedPlanner):
    """A planner that draws each trial independently from the space."""

    def points(self, first: int, end: int) -> list[Params]:
        """Draw one point for each index from `first` to `end`, excluded."""
        start = self.plan.first_trial
        return [random_params(self.plan.space, self.seed, start + index) for index in range(first, end)]
