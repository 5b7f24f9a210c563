"""The table of search methods: what each needs, whether it learns from results, and where its code is.

To add a method, add an entry here and a module in `service/planner/`, and run `python -m docs.make`. The code is named,
not imported, so that the master and other methods do not import its dependencies (optuna, scikit-learn). The tests run
every method of this table through the conformance suites.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from foldstep.service.contract.names import OneOf


@dataclass(frozen=True)
class SearchMethod:
    """One entry of the table.

    Code is named as `module:attribute`, the module being one of `service/planner/`.

    Attributes:
        name: the name in a spec.
        meaning: one line for the documentation.
        planner: the class that plans a stage, a `service.planner.base.IndexedPlanner`; None for a method that learns.
        model: the function that proposes from results, a `service.planner.propose.Model`; None for other methods.
        next_stage: the function that plans the stage after a finished one; None for a method of a single stage.
        enumerates: whether it trains every point of the space, which therefore needs lists or steps.
        redraws: whether it draws again what it has drawn before, in a finite space of at most 10,000 points.
    """

    name: str
    meaning: str
    planner: str | None = None
    model: str | None = None
    next_stage: str | None = None
    enumerates: bool = False
    redraws: bool = False

    def __post_init__(self) -> None:
        if (self.planner is None) == (self.model is None):
            raise ValueError(f"{self.name}: expected either a planner or a model, however: both or none")

    @property
    def learns(self) -> bool:
        """Whether its proposals depend on results; they then come in batches."""
        return self.model is not None

    @property
    def is_staged(self) -> bool:
        """Whether it has several stages, each with its own epochs."""
        return self.next_stage is not None

    @property
    def never_repeats(self) -> bool:
        """Whether it trains no configuration twice, so that a finite space ends the search."""
        return self.learns or self.enumerates


def _by_name(entries: Iterable[SearchMethod]) -> dict[str, SearchMethod]:
    return {entry.name: entry for entry in entries}


METHODS: dict[str, SearchMethod] = _by_name(
    [
        SearchMethod("grid", "every combination of lists and stepped ranges, once", planner="grid:GridPlanner",
                     enumerates=True),
        SearchMethod("random", "independent draws from the space", planner="random:DistinctPlanner", redraws=True),
        SearchMethod("coarse_to_fine", "stages of random draws, each from ranges narrowed around the best of the last",
                     planner="random:RandomPlanner", next_stage="coarse_to_fine:next_stage"),
        SearchMethod("sobol", "a sequence that fills the space more evenly than random draws",
                     planner="sobol:SobolPlanner"),
        SearchMethod("tpe", "tree-structured Parzen estimator, Hyperopt's method", model="tpe:tpe"),
        SearchMethod("gp", "Gaussian process with expected improvement, Spearmint's method", model="gp:gp"),
        SearchMethod("cmaes", "evolution of a normal distribution over the ranges", model="cma:cmaes"),
        SearchMethod("forest", "random forest with expected improvement, SMAC's method",
                     model="optuna_samplers:forest"),
    ]
)  # fmt: skip

Method: TypeAlias = Annotated[str, OneOf(METHODS)]


def learning_methods() -> list[str]:
    """List the methods that learn from results, by name."""
    return sorted(method.name for method in METHODS.values() if method.learns)


def staged_methods() -> list[str]:
    """List the methods that have several stages, by name."""
    return sorted(method.name for method in METHODS.values() if method.is_staged)
