"""CMA-ES: an evolving normal distribution over the ranges, and shares that evolve with it over the choices.

N. Hansen, "The CMA evolution strategy: a tutorial", arXiv 1604.00772, as the library `cmaes` has it. A normal
distribution cannot hold choices, which have no order: there each choice has a share instead, and shares move towards
those of the better half of a generation (population-based incremental learning, Baluja 1994).

The state is nowhere stored: it is replayed from the history, generation by generation, which takes microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from cmaes import CMA

from foldstep.service.contract.space import Choices, Params, Space
from foldstep.service.planner.batches import batch_end, n_startup
from foldstep.service.planner.observed import Observed
from foldstep.service.planner.vectors import unit

START_SPREAD = 0.2  # standard deviation of the first generation, in units of a range
SHARE_RATE = 0.3  # how far a generation moves the shares of choices
LEAST_SHARE = 0.1  # of the draws of a choice that stay even among all of them


def cmaes(space: Space, observed: Sequence[Observed], size: int, generator: np.random.Generator) -> Iterator[Params]:
    """Proposals of one batch; the distribution changes where a generation of whole batches is complete."""
    evolution = _replayed(space, observed, size)
    evolution.reseed(generator)
    while True:
        yield space.from_unit(evolution.ask(generator))


def _replayed(space: Space, observed: Sequence[Observed], size: int) -> _Evolution:
    """The evolution after all generations that have ended; a trial's position says which one it belongs to."""
    start = n_startup(size)
    evolution = _Evolution(space, [o for o in observed if o.position < start], size)
    generations: dict[int, list[Observed]] = {}
    for one in observed:
        if one.position >= start:
            generations.setdefault((one.position - start) // evolution.population, []).append(one)
    # batches before the last trial have ended, and so has its own; one in which all failed comes with the next
    n_ended = batch_end(observed[-1].position, size)
    for number, generation in generations.items():
        if start + (number + 1) * evolution.population <= n_ended:
            evolution.tell(generation)
    return evolution


class _Evolution:
    """The distribution that proposals are drawn from.

    Attributes:
        population: trials in a generation: whole batches, as many as the textbook's number of trials at least.
    """

    def __init__(self, space: Space, startup: Sequence[Observed], size: int) -> None:
        searched = space.searched()
        self._space = space
        self._ranges = [n for n in searched if not isinstance(space.parameters[n], Choices)]
        self._shares = {n: np.full(len(d.choices), 1 / len(d.choices)) for n, d in space.parameters.items()
                        if isinstance(d, Choices)}  # fmt: skip
        textbook = 4 + math.floor(3 * math.log(max(1, len(self._ranges))))
        self.population = size * math.ceil(textbook / size)
        ranked = sorted(startup, key=lambda o: o.loss)
        centre = self._place(ranked[0].params, np.full(len(self._ranges), 0.5)) if ranked else None
        self._normal = self._started(centre)
        if ranked:
            self._move_shares(ranked)

    def reseed(self, generator: np.random.Generator) -> None:
        """Take what is random from the generator; CMA has a stream of its own."""
        if self._normal is not None:
            self._normal.reseed_rng(int(generator.integers(2**32)))

    def ask(self, generator: np.random.Generator) -> dict[str, float]:
        """A point of the unit cube."""
        place = {} if self._normal is None else dict(zip(self._ranges, map(float, self._normal.ask()), strict=True))
        for name, shares in self._shares.items():
            place[name] = (int(generator.choice(len(shares), p=shares)) + 0.5) / len(shares)
        return place

    def tell(self, generation: Sequence[Observed]) -> None:
        """Move towards the better trials of a generation; start anew from its best where nothing moves any more.

        For a trial that failed the mean stands in, with the worst loss: a step of length zero moves nothing.
        """
        ranked = sorted(generation, key=lambda o: o.loss)
        self._move_shares(ranked)
        if self._normal is None:
            return
        places = [self._place(o.params, self._normal.mean) for o in ranked]
        told = [(place, o.loss) for place, o in zip(places, ranked, strict=True)]
        told += [(self._normal.mean, ranked[-1].loss)] * (self.population - len(ranked))
        self._normal.tell(told)
        if self._normal.should_stop():
            self._normal = self._started(places[0])

    def _started(self, centre: npt.NDArray[np.float64] | None) -> CMA | None:
        n = len(self._ranges)
        if n == 0:
            return None
        mean = np.full(n, 0.5) if centre is None else centre
        bounds = np.array([[0.0, 1.0]] * n)
        return CMA(mean, START_SPREAD, bounds=bounds, population_size=self.population, seed=0)

    def _place(self, params: Params, otherwise: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The unit coordinates; where a parameter is not active, those that say nothing."""
        parameters = self._space.parameters
        return np.array(
            [unit(parameters[n], params[n]) if n in params else float(otherwise[i]) for i, n in enumerate(self._ranges)]
        )

    def _move_shares(self, ranked: Sequence[Observed]) -> None:
        for name, shares in self._shares.items():
            distribution = self._space.parameters[name]
            assert isinstance(distribution, Choices)
            good = [o.params[name] for o in ranked[: math.ceil(len(ranked) / 2)] if name in o.params]
            if good:
                found = np.bincount([distribution.choices.index(v) for v in good], minlength=len(shares)) / len(good)
                moved = (1 - SHARE_RATE) * shares + SHARE_RATE * found
                self._shares[name] = (1 - LEAST_SHARE) * moved + LEAST_SHARE / len(shares)
