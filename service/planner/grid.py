"""Grid search: every point of a grid exactly once, each computed from its index."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Distribution, Params, Space, Values
from foldstep.service.contract.stage import StagePlan, nth_free
from foldstep.service.planner.base import IndexedPlanner


class Condition(NamedTuple):
    """The condition that `child` is active only for some values of `parent`."""

    child: str
    parent: str


Met: TypeAlias = frozenset[Condition]


class Run(NamedTuple):
    """Neighbouring values of a parameter that meet the same conditions.

    Attributes:
        start: index of the first value.
        size: how many.
        met: the conditions on this parameter that they meet.
    """

    start: int
    size: int
    met: Met


class Grid:
    """The points of a space's grid, numbered from 0, the first parameter varying slowest.

    An index is a mixed-radix number whose digits are the places of the values. A parameter with `when` has a digit
    only where it is active, so the place value of a digit depends on the conditions that earlier values have met.
    Counts are cached for each set of met conditions, never for each point: a grid of a billion points takes no memory.
    """

    def __init__(self, space: Space, values_of: Callable[[str, Distribution], Values] | None = None) -> None:
        """Prepare the grid.

        Args:
            space: the space whose points it numbers.
            values_of: function that lists the values of a parameter; `grid_values` when left out.

        Raises:
            ValueError: a range without steps.
        """
        self._names = space.ordered()
        self._values = {name: (values_of or grid_values)(name, space.parameters[name]) for name in self._names}
        self._conditions = {
            name: frozenset(Condition(name, parent) for parent in space.parameters[name].when or {})
            for name in self._names
        }
        self._runs = {name: self._runs_of(name, space) for name in self._names}
        self._counts: dict[tuple[int, Met], int] = {}

    @property
    def n_points(self) -> int:
        """How many points there are."""
        return self._count(0, frozenset())

    def point(self, index: int) -> Params:
        """Compute the hyperparameters of the point with this index; inactive ones are left out."""
        params: Params = {}
        met: Met = frozenset()
        for place, name in enumerate(self._names):
            is_active, met = self._conditions[name] <= met, met - self._conditions[name]
            if not is_active:
                continue
            for run in self._runs[name]:
                worth = self._count(place + 1, met | run.met)
                if index < run.size * worth:
                    digit, index = divmod(index, worth)
                    params[name] = self._values[name][run.start + digit]
                    met |= run.met
                    break
                index -= run.size * worth
        return params

    def index_of(self, params: Params) -> int:
        """Find the index of a point.

        Raises:
            ValueError: it is none of the grid.
        """
        index, met = 0, frozenset[Condition]()
        for place, name in enumerate(self._names):
            is_active, met = self._conditions[name] <= met, met - self._conditions[name]
            if not is_active:
                continue
            at = self._values[name].index(params[name])
            for run in self._runs[name]:
                worth = self._count(place + 1, met | run.met)
                if at < run.start + run.size:
                    index += (at - run.start) * worth
                    met |= run.met
                    break
                index += run.size * worth
        return index

    def _count(self, place: int, met: Met) -> int:
        """Count the combinations of the parameters from `place` on, given the conditions met so far."""
        if place == len(self._names):
            return 1
        key = (place, met)
        if key not in self._counts:
            own = self._conditions[self._names[place]]
            runs = self._runs[self._names[place]] if own <= met else [Run(0, 1, frozenset())]
            self._counts[key] = sum(run.size * self._count(place + 1, (met - own) | run.met) for run in runs)
        return self._counts[key]

    def _runs_of(self, parent: str, space: Space) -> list[Run]:
        values, met_at = self._values[parent], dict[int, set[Condition]]()
        for child in self._names:
            for value in (space.parameters[child].when or {}).get(parent, []):
                if (index := _index(values, value)) is not None:
                    met_at.setdefault(index, set()).add(Condition(child, parent))
        runs, start = [], 0
        for place, met in sorted(met_at.items()):
            runs += [Run(start, place - start, frozenset()), Run(place, 1, frozenset(met))]
            start = place + 1
        runs.append(Run(start, len(values) - start, frozenset()))
        return [run for run in runs if run.size > 0]


class GridPlanner(IndexedPlanner):
    """A planner whose own trial n is point n of the stage's grid, without the points that were enqueued."""

    def __init__(self, plan: StagePlan, seed: int) -> None:
        """Plan one stage; see `IndexedPlanner`.

        Raises:
            ValueError: the space has a range without steps.
        """
        super().__init__(plan, seed)
        self._grid = Grid(plan.space)
        self._taken = sorted(self._grid.index_of(trial.params) for trial in plan.enqueued)

    @property
    def total(self) -> int:
        """The stage's trials, or all points where they are fewer."""
        n_points = self._grid.n_points
        return n_points if self.plan.trials is None else min(self.plan.trials, n_points)

    def points(self, first: int, end: int) -> list[Params]:
        """Compute the points for the places from `first` to `end`, excluded."""
        return [self._grid.point(nth_free(self._taken, place)) for place in range(first, end)]


def grid_values(name: str, distribution: Distribution) -> Values:
    """List the values of a parameter in a grid search.

    Raises:
        ValueError: a range without steps.
    """
    values = distribution.grid()
    if values is None:
        raise ValueError(f"{name}: a grid needs a list of values or a step")
    return values


def _index(values: Values, value: Value) -> int | None:
    try:
        return values.index(value)
    except ValueError:  # a value of a condition that is not on the grid
        return None
