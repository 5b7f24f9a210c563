"""One batch of a learning method: a pure function of the seed, the batch's number and the earlier trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np

from foldstep.service.contract.methods import METHODS, Method
from foldstep.service.contract.space import Params, Space
from foldstep.service.planner.either import from_split, split, to_split
from foldstep.service.planner.evidence import Evidence
from foldstep.service.planner.load import load
from foldstep.service.planner.observed import Observed, observe
from foldstep.service.planner.points import Unseen
from foldstep.service.planner.request import BatchRequest

MAX_REPEATS = 3  # repeated proposals for each trial of the batch, before points are drawn at random


Model: TypeAlias = Callable[[Space, Sequence[Observed], int, np.random.Generator], Iterator[Params]]
"""Space, history, batch size, random generator → endless proposals, each of which takes the earlier ones as tried."""


def model_of(method: Method) -> Model:
    """Import the model of a learning method, with the libraries that it takes."""
    named = METHODS[method].model
    assert named is not None
    model: Model = load(named)
    return model


def propose(request: BatchRequest) -> list[Params]:
    """Propose the points of a batch, none of them proposed before; fewer than its size if the space is exhausted."""
    space = request.space
    generator = np.random.default_rng([request.seed, request.number])
    unseen = Unseen(space, (record.params for record in request.history))
    evidence = Evidence.of(request.history)
    observed = [
        one._replace(params=to_split(one.params, space))
        for one in observe(evidence, list(space.parameters), request.first_trial, request.direction)
    ]
    has_something = space.searched() and observed  # all trials may have failed, or nothing is searched
    model = model_of(request.method)
    proposals = model(split(space), observed, request.size, generator) if has_something else iter(())
    points = (from_split(p, space) for p in islice(proposals, (1 + MAX_REPEATS) * request.size))
    new = (p for p in points if unseen.take(p))
    batch = list(islice(new, request.size))
    while len(batch) < request.size and (other := unseen.take_any(generator)) is not None:
        batch.append(other)
    return batch
