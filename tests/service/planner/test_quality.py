"""How good the learning methods are, at equal evaluations; seeds are fixed, so these pass or fail for good."""

from __future__ import annotations

import importlib
import statistics
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.methods import METHODS, Method, learning_methods
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.planner.base import Planner
from foldstep.service.planner.learning import LearningPlanner
from foldstep.service.planner.propose import propose
from foldstep.service.planner.stages import first_stage, make_planner
from tests.service.planner.functions import BRANIN, MIXED, branin, mixed
from tests.service.planner.play import Judge, play
from tests.service.planner.spaces import spec_of

N_TRIALS = 60
SEEDS = range(20)  # five gave medians that another five turned round
FUNCTIONS: dict[str, tuple[Space, Judge]] = {"branin": (BRANIN, branin), "mixed": (MIXED, mixed)}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the planner's own process; only libraries that are loaded by then are held."""
    importlib.import_module("scipy.linalg")
    with threadpool_limits(1):
        yield


def best(method: Method, space: Space, judge: Judge, seed: int, n_trials: int = N_TRIALS) -> float:
    spec = spec_of(
        space.parameters, method=method, seed=seed, budget={"trials": n_trials}, metric=MetricSpec(name="log_loss")
    )
    plan = first_stage(spec)
    planner: Planner = make_planner(spec, plan)
    if METHODS[method].learns:
        planner = LearningPlanner(plan, seed, method, Direction.MINIMIZE, propose)
    return min(r.score for r in play(planner, judge, n_workers=4) if r.score is not None)


def best_of_optuna(sampler: Callable[[int], Any], space: Space, judge: Judge, seed: int) -> float:
    """Optuna's own sampler, asked one at a time."""
    import optuna

    from foldstep.service.planner.optuna_space import suggest

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=sampler(seed))
        losses = []
        for _ in range(N_TRIALS):
            trial = study.ask()
            losses.append(judge(suggest(trial, space)))
            study.tell(trial, 100.0 if losses[-1] is None else losses[-1])
    return min(loss for loss in losses if loss is not None)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@pytest.mark.parametrize("method", learning_methods())
def test_learning_beats_chance_with_twice_the_trials(method: Method, function: str) -> None:
    """Random search with twice the trials is the yardstick of Li et al. 2018 ("Hyperband")."""
    space, judge = FUNCTIONS[function]
    ours = statistics.median(best(method, space, judge, seed) for seed in SEEDS)
    chance = statistics.median(best("random", space, judge, seed, 2 * N_TRIALS) for seed in SEEDS)
    assert ours < chance


def _tpe(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


def _cmaes(seed: int) -> Any:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@pytest.mark.parametrize(("method", "sampler"), [("tpe", _tpe), ("cmaes", _cmaes)])
def test_batches_are_no_worse_than_optuna_one_at_a_time(
    method: Method, sampler: Callable[[int], Any], function: str
) -> None:
    """The margin is for the draw of the seeds: medians of twenty differ by a quarter from one twenty to the next."""
    space, judge = FUNCTIONS[function]
    ours = statistics.median(best(method, space, judge, seed) for seed in SEEDS)
    theirs = statistics.median(best_of_optuna(sampler, space, judge, seed) for seed in SEEDS)
    assert ours <= 1.25 * theirs
