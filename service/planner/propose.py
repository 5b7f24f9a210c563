"""One batch of a learning method: a pure function of the seed, the batch's number and the trials before it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np

from foldstep.service.contract.space import Params, Space
from foldstep.service.contract.spec import Method
from foldstep.service.planner.observed import Observed, observe
from foldstep.service.planner.points import Unseen
from foldstep.service.planner.request import BatchRequest

MAX_REPEATS = 3  # proposals that were there already, for each one that is wanted, before points are drawn at random


Model: TypeAlias = Callable[[Space, Sequence[Observed], int, np.random.Generator], Iterator[Params]]
"""Space, history, size of a batch, randomness → proposals without an end, each of which knows of those before it."""

_MODELS: dict[Method, str] = {"tpe": "tpe", "gp": "gp", "cmaes": "cma", "forest": "optuna_samplers"}
"""The module of each method, which has a function of its name: what a method imports, the others do not pay for."""


def _model(method: Method) -> Model:
    model: Model = getattr(importlib.import_module(f"foldstep.service.planner.{_MODELS[method]}"), method)
    return model


def propose(request: BatchRequest) -> list[Params]:
    """The points of a batch, none of them proposed before; fewer than its size where the space has no more."""
    space = request.space
    generator = np.random.default_rng([request.seed, request.number])
    unseen = Unseen(space, (record.params for record in request.history))
    observed = observe(request.history, list(space.parameters), request.first_trial, request.direction)
    proposals = _model(request.method)(space, observed, request.size, generator) if space.searched() else iter(())
    new = (p for p in islice(proposals, (1 + MAX_REPEATS) * request.size) if unseen.take(p))
    batch = list(islice(new, request.size))
    while len(batch) < request.size and (other := unseen.take_any(generator)) is not None:
        batch.append(other)
    return batch
