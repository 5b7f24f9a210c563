"""What every method that learns from results must do, besides `test_conformance`."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.methods import Method, learning_methods
from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.batches import batch_end, batch_start, default_batch, n_startup
from foldstep.service.planner.learning import LearningPlanner
from foldstep.service.planner.propose import propose
from foldstep.service.planner.request import BatchRequest
from foldstep.service.planner.stages import first_stage, make_planner
from tests.service.planner.functions import MIXED, mixed
from tests.service.planner.play import play
from tests.service.planner.spaces import finished, spaces, spec_of

METHODS = learning_methods()


def planner_for(method: Method, space: Space, *, seed: int = 0, **changes: Any) -> LearningPlanner:
    """As a search has it, but in this process."""
    changes.setdefault("budget", {"trials": 20})
    spec = spec_of(space.parameters, method=method, seed=seed, metric=MetricSpec(name="log_loss"), **changes)
    return LearningPlanner(first_stage(spec), seed, method, Direction.MINIMIZE, propose)


def keys(records: list[TrialRecord], space: Space) -> list[str]:
    return [json.dumps({n: r.params[n] for n in sorted(space.searched()) if n in r.params}) for r in records]


def bumpy(params: Params) -> float | None:
    """A loss for any space, of any size, with gaps."""
    size = sum(hash(json.dumps(v)) % 97 if isinstance(v, str | list) else float(str(v)) for v in params.values())
    return None if int(size) % 5 == 0 else math.sinh(min(size, 600.0))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=10, phases=[Phase.explicit, Phase.generate])  # shrinking would take minutes
@given(space=spaces(), seed=st.integers(0, 2**63 - 1))
def test_trials_lie_in_the_space_and_none_comes_twice(method: Method, space: Space, seed: int) -> None:
    history = play(planner_for(method, space, seed=seed, batch=4, budget={"trials": 20}), bumpy)
    for record in history:
        assert space.contains({n: v for n, v in record.params.items() if n in space.parameters})
    assert len(set(keys(history, space))) == len(history)
    assert [r.number for r in history] == list(range(len(history)))


@pytest.mark.parametrize("method", METHODS)
def test_trials_do_not_depend_on_the_workers(method: Method) -> None:
    alone = play(planner_for(method, MIXED, batch=4), mixed)
    for n_workers in (3, 50):
        assert play(planner_for(method, MIXED, batch=4), mixed, n_workers=n_workers, seed=n_workers) == alone
    assert keys(play(planner_for(method, MIXED, batch=4, seed=1), mixed), MIXED)[8:] != keys(alone, MIXED)[8:]


@pytest.mark.parametrize("method", METHODS)
def test_the_planners_own_process_proposes_the_same(method: Method) -> None:
    spec = spec_of(MIXED.parameters, method=method, batch=4, budget={"trials": 14}, metric=MetricSpec(name="log_loss"))
    outside = make_planner(spec, first_stage(spec))
    assert play(outside, mixed) == play(planner_for(method, MIXED, batch=4, budget={"trials": 14}), mixed)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_waits_for_every_trial_before_it_and_for_no_other(method: Method) -> None:
    planner = planner_for(method, MIXED, batch=4)
    history = play(planner_for(method, MIXED, batch=4, budget={"trials": 12}), mixed)
    batch = planner.suggest(8, 100, history[:8])
    assert [t.number for t in batch.trials] == [8, 9, 10, 11]
    open_ = history[3].model_copy(update={"state": TrialState.RUNNING, "score": None})
    for before in (history[:7], [*history[:3], open_, *history[4:8]]):
        assert planner.suggest(8, 100, before) == ([], False)
    assert planner.suggest(8, 100, history) == batch, "results of the batch itself change nothing"
    assert planner.suggest(10, 1, history).trials == batch.trials[2:3]
    assert planner.suggest(8, 100, [*reversed(history)]) == batch, "the order of the history changes nothing"


@pytest.mark.parametrize("method", METHODS)
def test_results_decide(method: Method) -> None:
    planner = planner_for(method, MIXED, batch=4)
    history = play(planner_for(method, MIXED, batch=4, budget={"trials": 8}), mixed)
    turned = [r.model_copy(update={"score": None if r.score is None else -r.score}) for r in history]
    assert planner.suggest(8, 4, history).trials != planner.suggest(8, 4, turned).trials


@pytest.mark.parametrize("method", METHODS)
def test_more_is_better_where_the_metric_says_so(method: Method) -> None:
    history = play(planner_for(method, MIXED, batch=4, budget={"trials": 8}), mixed)
    turned = [r.model_copy(update={"score": None if r.score is None else -r.score}) for r in history]
    plan = planner_for(method, MIXED, batch=4).plan
    maximizing = LearningPlanner(plan, 0, method, Direction.MAXIMIZE, propose)
    assert maximizing.suggest(8, 4, turned) == planner_for(method, MIXED, batch=4).suggest(8, 4, history)


FINITE = Space(
    parameters={
        "optimizer": Choices(choices=["sgd", "adam"]),
        "momentum": FloatRange(low=0.5, high=0.9, step=0.1, when={"optimizer": ["sgd"]}),
        "width": IntRange(low=8, high=10, log=True),
        "lr": FloatRange(low=0.1, high=0.1, log=True),
    }
)  # 3 * (5 + 1) points


@pytest.mark.parametrize("method", METHODS)
def test_every_point_of_a_finite_space_is_tried_once(method: Method) -> None:
    planner = planner_for(method, FINITE, batch=4, budget={"trials": 100})
    assert planner.total == 18
    history = play(planner, bumpy, n_workers=3)
    assert len(history) == 18 == len(set(keys(history, FINITE)))
    assert planner.suggest(18, 5, history) == ([], True)


@pytest.mark.parametrize("method", METHODS)
def test_a_range_of_a_few_floating_point_numbers_ends(method: Method) -> None:
    space = Space(parameters={"dropout": FloatRange(low=0.1, high=math.nextafter(math.nextafter(0.1, 1), 1))})
    history = play(planner_for(method, space, batch=2), bumpy)
    assert len(history) == 3 == len({str(r.params["dropout"]) for r in history})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("score", [None, 0.0, 1e308, -1e308])
def test_a_history_that_says_nothing_is_no_trouble(method: Method, score: float | None) -> None:
    planner = planner_for(method, MIXED, batch=4)
    history = [finished(t.number, t.params, score if t.number % 2 else None) for t in planner.suggest(0, 8, []).trials]
    assert len(planner.suggest(8, 4, history).trials) == 4


@pytest.mark.parametrize("method", METHODS)
def test_models_keep_away_from_where_trials_diverge(method: Method) -> None:
    space = Space(parameters={"lr": FloatRange(low=1e-6, high=1.0, log=True), "dropout": FloatRange(low=0, high=0.5)})
    planner = planner_for(method, space, batch=20, budget={"trials": 200})
    history: list[TrialRecord] = []
    while len(history) < 140:
        for trial in planner.suggest(len(history), 100, history).trials:
            loss = float(str(trial.params["dropout"]))
            diverges = float(str(trial.params["lr"])) > 1e-3
            history.append(finished(trial.number, trial.params, None if diverges else loss))
    diverged = sum(r.score is None for r in history[100:])
    assert diverged < 16, "half of the space diverges: 20 of 40 at random"


@pytest.mark.parametrize("method", METHODS)
def test_failed_trials_fill_batches_and_say_nothing_else(method: Method) -> None:
    """As if they had never been, but that the batch is complete and their configurations are not tried again."""
    planner = planner_for(method, MIXED, batch=4, budget={"trials": 40})
    history = play(planner_for(method, MIXED, batch=4, budget={"trials": 24}), mixed)
    failed = {9, 10, 17}
    scored = [r.model_copy(update={"state": TrialState.FAILED, "score": None}) if r.number in failed else r
              for r in history]  # fmt: skip
    proposals = planner.suggest(24, 4, scored)
    assert len(proposals.trials) == 4, "failed trials have ended"
    worst = [r.model_copy(update={"score": 1e9}) if r.number in failed else r for r in history]
    assert proposals != planner.suggest(24, 4, worst), "they are not bad"
    assert not {*keys(history, MIXED)} & {*keys([finished(t.number, t.params, 0.0) for t in proposals.trials], MIXED)}


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_comes_where_every_trial_failed(method: Method) -> None:
    planner = planner_for(method, MIXED, batch=4)
    history = [finished(t.number, t.params, None, state="failed") for t in planner.suggest(0, 8, []).trials]
    points = keys([finished(t.number, t.params, 0.0) for t in planner.suggest(8, 4, history).trials], MIXED)
    assert len({*points, *keys(history, MIXED)}) == 12


def test_a_long_history_is_thinned_and_the_best_stay() -> None:
    planner = planner_for("tpe", MIXED, batch=50, budget={"trials": 4000})
    draws = planner_for("tpe", MIXED, batch=1500, budget={"trials": 4000}).suggest(0, 3000, []).trials
    history = [finished(t.number, t.params, mixed(t.params)) for t in draws]
    best = sorted(r.score for r in history if r.score is not None)
    losses = [mixed(t.params) for t in planner.suggest(3000, 50, history).trials]
    assert sorted(math.inf if loss is None else loss for loss in losses)[25] < best[100]


def test_default_batches_and_their_boundaries() -> None:
    assert [default_batch(n) for n in (None, 1, 200, 1000, 10_000, 10**6)] == [8, 4, 4, 20, 200, 256]
    assert [n_startup(b) for b in (1, 3, 4, 5, 100)] == [8, 9, 8, 10, 200]
    assert [(batch_start(i, 3), batch_end(i, 3)) for i in (0, 8, 9, 11, 12)] == [
        (0, 9), (0, 9), (9, 12), (9, 12), (12, 15)
    ]  # fmt: skip


def test_the_startup_is_that_of_a_random_search() -> None:
    random_spec = spec_of(MIXED.parameters, method="random", seed=3)
    draws = make_planner(random_spec, first_stage(random_spec)).suggest(0, 8, []).trials
    assert planner_for("tpe", MIXED, seed=3, batch=4).suggest(0, 8, []).trials == draws


def test_a_request_survives_its_way_to_the_planners_process() -> None:
    history = play(planner_for("tpe", MIXED, batch=4, budget={"trials": 12}), mixed)
    request = BatchRequest(
        method="tpe", space=MIXED, number=3, size=4, seed=2**63 - 1, direction=Direction.MINIMIZE, first_trial=0,
        history=history,
    )  # fmt: skip
    assert BatchRequest.model_validate_json(request.model_dump_json()) == request
