"""The planner of every method that learns from results: batches, each from exactly the trials of those before it.

So what a trial trains does not depend on the number of workers, nor on who came first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.methods import Method
from foldstep.service.contract.space import Params
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TERMINAL_TRIAL
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.base import Proposals, planned
from foldstep.service.planner.batches import batch_end, batch_start
from foldstep.service.planner.points import Unseen
from foldstep.service.planner.random import random_params
from foldstep.service.planner.request import BatchRequest

Propose = Callable[[BatchRequest], list[Params]]


class LearningPlanner:
    """Random draws at first, then batches from a model, no configuration twice."""

    def __init__(self, plan: StagePlan, seed: int, method: Method, direction: Direction, propose: Propose) -> None:
        """Plan one stage.

        Args:
            plan: the stage; its `batch` is set.
            seed: the search's.
            method: which model.
            direction: whether more or less is better.
            propose: what makes a batch of a request; it must be a pure function.
        """
        assert plan.batch is not None
        self.plan = plan
        self.seed = seed
        self.batch = plan.batch
        self._method = method
        self._direction = direction
        self._propose = propose

    @property
    def total(self) -> int | None:
        """How many trials the stage has; None for no limit."""
        return self.plan.trials

    def suggest(self, first: int, count: int, history: Sequence[TrialRecord]) -> Proposals:
        """Trials of the batch that `first` is in, see `Planner`; none while one of the batches before it is open."""
        start, end = batch_start(first, self.batch), batch_end(first, self.batch)
        before = [r for r in history if r.stage == self.plan.index and r.number < self.plan.first_trial + start]
        if sum(r.state in TERMINAL_TRIAL for r in before) < start:
            return Proposals([], exhausted=False)
        points = self._startup(end) if start == 0 else self._propose(self._request(start, before))
        stop = start + len(points) if len(points) < end - start else None  # the space has no more
        stop = min((n for n in (stop, self.total) if n is not None), default=None)
        last = min(first + count, end) if stop is None else min(first + count, end, stop)
        wanted = points[first - start : max(0, last - start)]
        trials = [planned(self.plan, self.seed, index, params) for index, params in enumerate(wanted, start=first)]
        return Proposals(trials, exhausted=last == stop)

    def _startup(self, count: int) -> list[Params]:
        """Survivors, then those of a random search without its repetitions; all points of a space that has no more."""
        space, unseen = self.plan.space, Unseen(self.plan.space)
        generator = np.random.default_rng(self.seed)
        draws = (random_params(space, self.seed, self.plan.first_trial + n) for n in range(count))
        points = [params for params in (*self.plan.survivors, *draws) if unseen.take(params)][:count]
        while len(points) < count and (other := unseen.take_any(generator)) is not None:
            points.append(other)
        return points

    def _request(self, start: int, before: Sequence[TrialRecord]) -> BatchRequest:
        return BatchRequest(
            method=self._method,
            space=self.plan.space,
            number=start // self.batch,
            size=self.batch,
            seed=self.seed,
            direction=self._direction,
            first_trial=self.plan.first_trial,
            history=sorted(before, key=lambda record: record.number),
        )
