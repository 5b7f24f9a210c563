"""How good the learning methods are, at equal evaluations; seeds are fixed, so these pass or fail for good."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from service.contract.space import Space
from service.contract.spec import LEARNING, Method, MetricSpec
from service.planner.learning import LearningPlanner
from service.planner.propose import propose
from service.planner.stages import first_stage, make_planner
from tests.service.planner.functions import BRANIN, MIXED, branin, mixed
from tests.service.planner.play import Judge, play
from tests.service.planner.spaces import spec_of

N_TRIALS = 60
SEEDS = range(5)
FUNCTIONS: dict[str, tuple[Space, Judge]] = {"branin": (BRANIN, branin), "mixed": (MIXED, mixed)}


def best(method: Method, space: Space, judge: Judge, seed: int) -> float:
    spec = spec_of(
        space.parameters, method=method, seed=seed, budget={"trials": N_TRIALS}, metric=MetricSpec(name="log_loss")
    )
    plan = first_stage(spec)
    planner = (
        LearningPlanner(plan, seed, method, "minimize", propose) if method in LEARNING else make_planner(spec, plan)
    )
    return min(r.score for r in play(planner, judge, n_workers=4) if r.score is not None)


def best_of_optuna(sampler: Callable[[int], Any], space: Space, judge: Judge, seed: int) -> float:
    """Optuna's own sampler, asked one at a time."""
    import optuna

    from service.planner.optuna_space import suggest

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


@pytest.mark.parametrize(("function", "share"), [("branin", 0.6), ("mixed", 0.9)])
@pytest.mark.parametrize("method", sorted(LEARNING))
def test_learning_beats_chance(method: Method, function: str, share: float) -> None:
    """Of the 60 trials 8 are drawn at random; on the mixed function the gain is small yet (16 to 27 % for three)."""
    space, judge = FUNCTIONS[function]
    ours = statistics.median(best(method, space, judge, seed) for seed in SEEDS)
    chance = statistics.median(best("random", space, judge, seed) for seed in SEEDS)
    assert ours < share * chance


def _tpe(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


def _cmaes(seed: int) -> Any:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


@pytest.mark.parametrize(
    ("method", "sampler", "function"), [("tpe", _tpe, "mixed"), ("cmaes", _cmaes, "mixed"), ("cmaes", _cmaes, "branin")]
)
def test_batches_are_no_worse_than_optuna_one_at_a_time(
    method: Method, sampler: Callable[[int], Any], function: str
) -> None:
    """Not for tpe on branin, a smooth function, where every result that a batch waits for counts: there it is worse."""
    space, judge = FUNCTIONS[function]
    ours = statistics.median(best(method, space, judge, seed) for seed in SEEDS)
    theirs = statistics.median(best_of_optuna(sampler, space, judge, seed) for seed in SEEDS)
    assert ours <= 1.25 * theirs
