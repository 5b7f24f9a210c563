"""Optuna samplers as models of Foldstep: an in-memory study for each batch, filled with the observed trials."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from foldstep.service.contract.space import Params, Space
from foldstep.service.planner.forest import ForestSampler
from foldstep.service.planner.observed import Observed, thin
from foldstep.service.planner.optuna_space import finished, suggest


def forest(space: Space, observed: Sequence[Observed], _size: int, generator: np.random.Generator) -> Iterator[Params]:
    """Yield proposals of a random forest with expected improvement (Hutter, Hoos and Leyton-Brown 2011)."""

    def sampler(seed: int) -> BaseSampler:
        return ForestSampler(space, seed)

    return _ask(space, thin(observed, 200, 800, generator), sampler, generator)


def _ask(
    space: Space, observed: Sequence[Observed], make: Callable[[int], BaseSampler], generator: np.random.Generator
) -> Iterator[Params]:
    with _quiet():
        study = optuna.create_study(sampler=make(int(generator.integers(2**32))))
        study.add_trials([finished(space, one) for one in observed])
    while True:
        with _quiet():
            params = suggest(study.ask(), space)
        yield params


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Optuna's log messages about each study and its warnings of experimental features."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
