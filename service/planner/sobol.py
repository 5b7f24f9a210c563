"""Sobol search: a scrambled low-discrepancy sequence, which fills the space more evenly than random draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.space import Params
from foldstep.service.contract.stage import StagePlan
from foldstep.service.planner.base import IndexedPlanner


class SobolPlanner(IndexedPlanner):
    """A planner whose trial n is point n of a Sobol sequence with a dimension for each searched parameter.

    The seed scrambles the sequence. I. M. Sobol' 1967, with the direction numbers of Joe and Kuo 2008 and the
    scrambling of Matoušek 1998, as implemented by scipy. A power of 2 of points is balanced best.
    """

    def __init__(self, plan: StagePlan, seed: int) -> None:
        """Plan one stage; see `IndexedPlanner`."""
        super().__init__(plan, seed)
        self._names = plan.space.searched()
        self._sequence: Any = None

    def points(self, first: int, end: int) -> list[Params]:
        """Compute the points from `first` to `end`, excluded; skipping to `first` takes a few nanoseconds a point."""
        coordinates = self._coordinates(first, end) if end > first else np.empty((0, len(self._names)))
        return [self.plan.space.from_unit(dict(zip(self._names, map(float, u), strict=False))) for u in coordinates]

    def _coordinates(self, first: int, end: int) -> npt.NDArray[np.float64]:
        sequence = self._from_start()
        if first > 0:
            sequence.fast_forward(first)
            return np.asarray(sequence.random(end - first))
        # the first points asked for must be a power of two in number, or scipy warns of their balance
        return np.concatenate([sequence.random(1), sequence.random(end - 1)] if end > 1 else [sequence.random(1)])

    def _from_start(self) -> Any:
        if self._sequence is None:
            from scipy.stats import qmc

            self._sequence = qmc.Sobol(max(1, len(self._names)), seed=np.random.default_rng(self.seed))
        return self._sequence.reset()
