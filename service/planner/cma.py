"""CMA-ES: an evolving normal distribution over the ranges, and evolving probabilities over the choices.

N. Hansen, "The CMA evolution strategy: a tutorial", arXiv 1604.00772, as implemented by the library `cmaes`. Choices
have no order, so a normal distribution cannot model them: each choice has a probability (share) instead, which moves
towards its frequency in the better half of a generation (population-based incremental learning, Baluja 1994).

The state is not stored: it is replayed from the history, generation by generation, which takes microseconds.
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
SHARE_RATE = 0.3  # learning rate of the shares of choices, per generation
LEAST_SHARE = 0.1  # of the probability that stays uniform over all choices


def cmaes(space: Space, observed: Sequence[Observed], size: int, generator: np.random.Generator) -> Iterator[Params]:
    """Yield proposals of one batch; the distribution is updated when a generation of whole batches is complete."""
    evolution = _replayed(space, observed, size)
    evolution.reseed(generator)
    while True:
        yield space.from_unit(evolution.ask(generator))


def _replayed(space: Space, observed: Sequence[Observed], size: int) -> _Evolution:
    """Replay all generations that have ended; a trial's position determines its generation."""
    start = n_startup(size)
    evolution = _Evolution(space, [o for o in observed if o.position < start], size)
    generations: dict[int, list[Observed]] = {}
    for one in observed:
        if one.position >= start:
            generations.setdefault((one.position - start) // evolution.population, []).append(one)
    # every batch up to that of the last trial has ended; a batch in which all trials failed counts with the next one
    n_ended = batch_end(observed[-1].position, size)
    for number, generation in generations.items():
        if start + (number + 1) * evolution.population <= n_ended:
            evolution.tell(generation)
    return evolution


class _Evolution:
    """The distribution that proposals are drawn from.

    Attributes:
        population: trials in a generation: whole batches with at least the 4 + 3 ln n trials of Hansen's default.
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
        """Seed the random stream of the CMA library from the generator."""
        if self._normal is not None:
            self._normal.reseed_rng(int(generator.integers(2**32)))

    def ask(self, generator: np.random.Generator) -> dict[str, float]:
        """Draw a point of the unit cube, by parameter name."""
        place = {} if self._normal is None else dict(zip(self._ranges, map(float, self._normal.ask()), strict=True))
        for name, shares in self._shares.items():
            place[name] = (int(generator.choice(len(shares), p=shares)) + 0.5) / len(shares)
        return place

    def tell(self, generation: Sequence[Observed]) -> None:
        """Update the distribution with a generation; restart it from the generation's best trial once it converged.

        A failed trial is replaced by the mean with the worst loss: a step of length zero moves nothing.
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
        """Compute the unit coordinates of the ranges; `otherwise` has those of parameters that are not active."""
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
