"""Random search: each value comes from its own random stream, keyed by seed, trial number and parameter.

In a finite space that is small, a draw that has come before is replaced by a point that has not, until there is none.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from foldstep.service.contract.space import Params, Space
from foldstep.service.contract.stage import StagePlan
from foldstep.service.planner.base import IndexedPlanner
from foldstep.service.planner.points import Unseen, n_points

MANY = 10_000
"""Points of a finite space that counts as small."""


def draw(seed: int, number: int, name: str) -> float:
    """Draw a number from [0, 1) with 53 random bits.

    Philox is a counter-based generator (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so
    every (seed, name) is a key and every trial a position in its stream: parameters and trials draw independently,
    and a further parameter does not change the draws of the others.
    """
    stream = np.random.Philox(key=[seed, zlib.crc32(name.encode())], counter=[0, 0, 0, number])
    return int(stream.random_raw() >> 11) * 2.0**-53


_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS, _LOW = 10, np.uint64(0xFFFFFFFF)


def draw_many(seed: int, first: int, end: int, name: str) -> list[float]:
    """Draw the numbers of the trials from `first` to `end`, excluded: those of `draw`, all at once.

    That is Philox4x64 with ten rounds (Salmon et al. 2011, section 3.3) on arrays of counters.
    """
    zero = np.zeros(end - first, dtype=np.uint64)
    # NumPy counts on before it draws: the lowest word of each counter is 1
    words = [zero + np.uint64(1), zero, zero, np.arange(first, end, dtype=np.uint64)]
    keys = [seed, zlib.crc32(name.encode())]
    for _ in range(_ROUNDS):
        (high_0, low_0), (high_1, low_1) = (_product(words[i], m) for i, m in zip((0, 2), _MULTIPLIERS, strict=True))
        words = [high_1 ^ words[1] ^ np.uint64(keys[0]), low_1, high_0 ^ words[3] ^ np.uint64(keys[1]), low_0]
        keys = [(key + step) & (2**64 - 1) for key, step in zip(keys, _STEPS, strict=True)]
    drawn: list[float] = ((words[0] >> np.uint64(11)) * 2.0**-53).tolist()
    return drawn


def _product(words: np.ndarray, multiplier: int) -> tuple[np.ndarray, np.ndarray]:
    """Multiply by a number of 64 bits; return the higher and the lower 64 bits of each product."""
    m_high, m_low = np.uint64(multiplier >> 32), np.uint64(multiplier & 0xFFFFFFFF)
    high, low = words >> np.uint64(32), words & _LOW
    middle = high * m_low + (low * m_low >> np.uint64(32))
    other = low * m_high + (middle & _LOW)
    return high * m_high + (middle >> np.uint64(32)) + (other >> np.uint64(32)), words * np.uint64(multiplier)


def random_params(space: Space, seed: int, number: int) -> Params:
    """Draw the point of `space` for trial `number`."""
    return space.from_unit({name: draw(seed, number, name) for name in space.searched()})


class RandomPlanner(IndexedPlanner):
    """A planner that draws each trial independently from the space."""

    def points(self, first: int, end: int) -> list[Params]:
        """Draw one point for each index from `first` to `end`, excluded."""
        start, space = self.plan.first_trial, self.plan.space
        names = space.searched()
        drawn = [draw_many(self.seed, start + first, start + end, name) for name in names]
        return [space.from_unit(dict(zip(names, units, strict=True))) for units in _rows(drawn, end - first)]


def _rows(columns: list[list[float]], n: int) -> Iterable[tuple[float, ...]]:
    return zip(*columns, strict=True) if columns else [()] * n


class DistinctPlanner(RandomPlanner):
    """A random planner that proposes no point of a small finite space twice, and ends when the space is used up."""

    def __init__(self, plan: StagePlan, seed: int) -> None:
        """Plan one stage; see `IndexedPlanner`."""
        super().__init__(plan, seed)
        self._size = n_distinct(plan.space)

    @property
    def total(self) -> int | None:
        """The stage's trials, or all points where they are fewer."""
        limits = [limit for limit in (self.plan.trials, self._size) if limit is not None]
        return min(limits, default=None)

    def points(self, first: int, end: int) -> list[Params]:
        """Compute the points for the indices from `first` to `end`, excluded."""
        if self._size is None:
            return super().points(first, end)
        survivors = json.dumps(self.plan.survivors)
        enqueued = json.dumps([trial.params for trial in self.plan.enqueued])
        space = self.plan.space.model_dump_json()
        return _distinct(space, self.seed, self.plan.first_trial, survivors, enqueued).get(first, end)


def n_distinct(space: Space) -> int | None:
    """Count the points of a space that random search gives once each; None where it may be any number."""
    size = n_points(space)
    return size if size is not None and size <= MANY else None


class _Distinct:
    """The points of a random search over a small space by place, none twice; computed as far as they are asked for.

    A point that was enqueued is none of them. As none is enqueued that was planned before, what was planned stays.
    """

    def __init__(
        self, space: Space, seed: int, first_trial: int, survivors: list[Params], enqueued: list[Params]
    ) -> None:
        self._space, self._seed, self._start = space, seed, first_trial
        self._unseen = Unseen(space, [*survivors, *enqueued])
        self._n_survivors = len(survivors)
        self._points: list[Params] = []  # from the index after the survivors on
        self._lock = threading.Lock()

    def get(self, first: int, end: int) -> list[Params]:
        """List the points with the indices from `first` to `end`, excluded; fewer where no point is left."""
        with self._lock:
            while self._n_survivors + len(self._points) < end and (new := self._next()) is not None:
                self._points.append(new)
            return self._points[first - self._n_survivors : end - self._n_survivors]

    def _next(self) -> Params | None:
        number = self._start + self._n_survivors + len(self._points)
        drawn = random_params(self._space, self._seed, number)
        if self._unseen.take(drawn):
            return drawn
        return self._unseen.take_any(np.random.default_rng([self._seed, number]))


@lru_cache(maxsize=16)  # a search is planned in many small parts, each from its own planner
def _distinct(space: str, seed: int, first_trial: int, survivors: str, enqueued: str) -> _Distinct:
    return _Distinct(Space.model_validate_json(space), seed, first_trial, json.loads(survivors), json.loads(enqueued))
