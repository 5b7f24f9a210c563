"""The configurations that the checks before a search try: the first trials of a random search over its space."""

from __future__ import annotations

from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.space import Params
from foldstep.service.contract.spec import Spec
from foldstep.service.planner.random import random_params

N_CANDIDATES = 12


def candidates(spec: Spec) -> list[Params]:
    """Draw `N_CANDIDATES` configurations from the space, as a pure function of the spec.

    Each has the search's seed unless the seed is searched and, where stages set the epochs, those of the last stage.
    """
    epochs = {"epochs": spec.planned_stages()[-1].epochs} if METHODS[spec.method].is_staged else {}
    draws = (random_params(spec.space, spec.seed, number) for number in range(N_CANDIDATES))
    return [{"seed": spec.seed, **params, **epochs} for params in draws]
