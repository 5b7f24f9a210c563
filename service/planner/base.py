"""What every planner is: a pure function of the seed, the stage's plan and the history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from service.contract.space import Params
from service.contract.stage import StagePlan
from service.contract.trial import PlannedTrial, TrialRecord


class Planner(Protocol):
    """Proposes the trials of one stage.

    Trials have two numbers: the index within the stage, from 0, which callers count, and the number within the
    search, `plan.first_trial + index`, which a `PlannedTrial` carries.
    """

    @property
    def total(self) -> int | None:
        """How many trials the stage has; None for no limit."""
        ...

    def suggest(self, first: int, count: int, history: Sequence[TrialRecord]) -> list[PlannedTrial]:
        """The trials with indices from `first` on, `count` of them or as many as the stage still has.

        Args:
            first: index within the stage, from 0.
            count: how many are wanted.
            history: the search's trials so far, in any state.
        """
        ...


class IndexedPlanner(ABC):
    """A planner whose trial n depends on the seed and n alone: the history changes nothing."""

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

    def suggest(self, first: int, count: int, history: Sequence[TrialRecord]) -> list[PlannedTrial]:  # noqa: ARG002
        """The trials with indices from `first` on, see `Planner`."""
        end = first + count if self.total is None else min(first + count, self.total)
        return [self._planned(index, params) for index, params in enumerate(self._all_points(first, end), start=first)]

    def _all_points(self, first: int, end: int) -> list[Params]:
        """Survivors have the first indices."""
        survivors = self.plan.survivors[first:end]
        begin = max(first, len(self.plan.survivors))
        return survivors + (self.points(begin, end) if begin < end else [])

    @abstractmethod
    def points(self, first: int, end: int) -> list[Params]:
        """The points of the stage's space for the indices from `first` to `end`, excluded."""

    def _planned(self, index: int, params: Params) -> PlannedTrial:
        complete = {"seed": self.seed, **params}
        if self.plan.epochs is not None:
            complete["epochs"] = self.plan.epochs
        return PlannedTrial(number=self.plan.first_trial + index, stage=self.plan.index, params=complete)
