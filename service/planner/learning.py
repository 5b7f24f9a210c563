"""The planner of every method that learns from results: each batch is proposed from exactly the batches before it.

So a trial's configuration depends neither on the number of workers nor on the order in which trials end.
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
    """A planner that draws at random first, then proposes batches from a model; no configuration comes twice."""

    def __init__(self, plan: StagePlan, seed: int, method: Method, direction: Direction, propose: Propose) -> None:
        """Plan one stage.

        Args:
            plan: the stage; its `batch` is set.
            seed: the search's.
            method: the search method, which names the model.
            direction: whether higher or lower scores are better.
            propose: the function that proposes a batch; it must be a pure function of the request.
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
        """Propose trials of the batch that contains `first`, see `Planner`; none until all earlier batches ended."""
        own, own_end = self.plan.n_own(first), self.plan.n_own(first + count)
        start, end = batch_start(own, self.batch), batch_end(own, self.batch)
        begin = self.plan.own_index(start)  # what was enqueued just before the batch is known to it
        before = [r for r in history if r.stage == self.plan.index and r.number < self.plan.first_trial + begin]
        if sum(r.state in TERMINAL_TRIAL for r in before) < begin:
            return Proposals([], exhausted=False)
        points = self._startup(end, before) if start == 0 else self._propose(self._request(start, before))
        stop = start + len(points) if len(points) < end - start else None  # the space is exhausted
        total = None if self.total is None else self.plan.n_own(self.total)
        stop = min((n for n in (stop, total) if n is not None), default=None)
        last = min(own_end, end) if stop is None else min(own_end, end, stop)
        wanted = points[own - start : max(0, last - start)]
        trials = [planned(self.plan, self.seed, place, params) for place, params in enumerate(wanted, start=own)]
        return Proposals(trials, exhausted=last == stop)

    def _startup(self, count: int, enqueued: Sequence[TrialRecord]) -> list[Params]:
        """List the first configurations: survivors, then random draws, none twice; fewer if the space is exhausted."""
        space, unseen = self.plan.space, Unseen(self.plan.space, (record.params for record in enqueued))
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
