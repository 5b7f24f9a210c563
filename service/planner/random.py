"""Random search: each value from a stream of its own, named by the seed, the trial's number and the parameter."""

from __future__ import annotations

import zlib

import numpy as np

from foldstep.service.contract.space import Params, Space
from foldstep.service.planner.base import IndexedPlanner


def draw(seed: int, number: int, name: str) -> float:
    """A number of [0, 1) with 53 random bits.

    Philox is a counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so
    every (seed, name) is a key and every trial a place in its stream: parameters and trials draw independently,
    and one more parameter changes no other's draws.
    """
    stream = np.random.Philox(key=[seed, zlib.crc32(name.encode())], counter=[0, 0, 0, number])
    return int(stream.random_raw() >> 11) * 2.0**-53


def random_params(space: Space, seed: int, number: int) -> Params:
    """The point of `space` that trial `number` draws."""
    return space.from_unit({name: draw(seed, number, name) for name in space.searched()})


class RandomPlanner(IndexedPlanner):
    """Independent draws from the space."""

    def points(self, first: int, end: int) -> list[Params]:
        """One draw for each index."""
        start = self.plan.first_trial
        return [random_params(self.plan.space, self.seed, start + index) for index in range(first, end)]
