"""Searches of `tpe` without training, over functions whose answer is known."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from functools import cache

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.learning import LearningPlanner
from foldstep.service.planner.propose import propose
from foldstep.service.planner.stages import first_stage
from tests.service.planner.play import play
from tests.service.planner.spaces import log10_of, spec_of

SPACE = Space(
    parameters={
        "lr": FloatRange(low=1e-5, high=1.0, log=True),
        "dropout": FloatRange(low=0.0, high=0.8),
        "optimizer": Choices(choices=["adam", "sgd"]),
        "activation": Choices(choices=["relu", "tanh", "gelu"]),
        "width": IntRange(low=8, high=256, log=True),
    }
)
LOSS = MetricSpec(name="log_loss")
Function = Callable[[Params], float]


def noise(params: Params) -> float:
    """Draw from a normal distribution, the same for the same hyperparameters."""
    digest = hashlib.md5(repr(sorted(params.items())).encode(), usedforsecurity=False).hexdigest()
    return random.Random(digest).gauss(0, 0.05)


def only_lr(params: Params) -> float:
    """Compute a loss on which the learning rate alone has an effect."""
    return 0.5 * abs(log10_of(params, "lr") + 1) + noise(params)


def sgd_is_poor(params: Params) -> float:
    """Compute a loss that is greater by 1 with sgd, and depends on the learning rate."""
    return 0.3 * abs(log10_of(params, "lr") + 1) + (params["optimizer"] == "sgd") + noise(params)


def low_rates_are_poor(params: Params) -> float:
    """Compute a loss that is greater by 1 for rates below 0.03, and least at 10^-0.8, which is 0.158."""
    return (log10_of(params, "lr") < math.log10(0.03)) + 0.2 * abs(log10_of(params, "lr") + 0.8) + noise(params)


@cache
def searched(function: Function, seed: int, n_trials: int = 150) -> tuple[TrialRecord, ...]:
    """Play a search with `tpe` to its end."""
    spec = spec_of(SPACE.parameters, method="tpe", seed=seed, budget={"trials": n_trials}, metric=LOSS)
    planner = LearningPlanner(first_stage(spec), seed, "tpe", Direction.MINIMIZE, propose)
    return tuple(play(planner, function))
