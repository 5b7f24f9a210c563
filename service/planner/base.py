"""The interface of planners: pure functions of the seed, the stage's plan and the history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from foldstep.service.contract.space import Params
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.trial import PlannedTrial, TrialRecord


class Proposals(NamedTuple):
    """The result of a planner's `suggest`.

    Attributes:
        trials: the trials that can be leased now; empty while the planner has to wait for results.
        exhausted: whether the stage has no trials after these.
    """

    trials: list[PlannedTrial]
    exhausted: bool


class Planner(Protocol):
    """Proposes the trials of one stage.

    Trials have two numbers: the index within the stage, from 0, which callers count, and the number within the
    search, `plan.first_trial + index`, which a `PlannedTrial` carries. Some indices are those of trials that a user
    enqueued; the others are the planner's own, and its n-th own trial does not depend on where they lie.
    """

    @property
    def total(self) -> int | None:
        """How many trials the stage has; None for no limit."""
        ...

    def suggest(self, first: int, count: int, history: Sequence[TrialRecord]) -> Proposals:
        """Propose the trials with indices from `first` on: `count` of them, or as many as can be given now.

        Args:
            first: index within the stage, from 0.
            count: number of trials asked for.
            history: the search's trials so far, in any state.
        """
        ...


class IndexedPlanner(ABC):
    """A planner whose own trial n depends on the plan, the seed and n alone, never on the history."""

    def __init__(self, plan: StagePlan, seed: int) -> None:
        """Plan one stage.

        Args:
            plan: the stage.
            seed: the search's.
        """
        self.plan = plan
        self.seed = seed

    @property
    def total(self) -> int | None:
        """How many trials the stage has; None for no limit."""
        return self.plan.trials

    def suggest(self, first: int, count: int, history: Sequence[TrialRecord] = ()) -> Proposals:  # noqa: ARG002
        """Propose the trials with indices from `first` on, see `Planner`."""
        end = first + count if self.total is None else min(first + count, self.total)
        begin = self.plan.n_own(first)
        points = self._all_points(begin, begin + max(0, self.plan.n_own(end) - begin))
        trials = [planned(self.plan, self.seed, place, params) for place, params in enumerate(points, start=begin)]
        return Proposals(trials, exhausted=self.total is not None and end >= self.total)

    def _all_points(self, first: int, end: int) -> list[Params]:
        """List the planner's own configurations from the place `first` to `end`, excluded; survivors come first."""
        survivors = self.plan.survivors[first:end]
        begin = max(first, len(self.plan.survivors))
        return survivors + (self.points(begin, end) if begin < end else [])

    @abstractmethod
    def points(self, first: int, end: int) -> list[Params]:
        """Compute the points of the stage's space for the places from `first` to `end`, excluded."""


def planned(plan: StagePlan, seed: int, place: int, params: Params) -> PlannedTrial:
    """Build the trial with this place among a planner's own from its point of the space."""
    continues = plan.continues[place] if place < len(plan.continues) else None
    return trial_at(plan, seed, plan.own_index(place), params, continues)


def trial_at(plan: StagePlan, seed: int, index: int, params: Params, continues: int | None = None) -> PlannedTrial:
    """Build the trial with this index within a stage.

    The search's seed and the stage's epochs are added to its hyperparameters.
    """
    complete = {"seed": seed, **params}
    if plan.epochs is not None:
        complete["epochs"] = plan.epochs
    return PlannedTrial(number=plan.first_trial + index, stage=plan.index, params=complete, continues=continues)
