"""What a step costs, fitted to steps that were seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foldstep.models.hyperparameters import resolve
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.cost import DEFAULT_OVERHEAD, StepCost
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.train.data import source
from tests.worker.train.watch import Watch


def seen(fixed_s: float, each_s: float, work: list[float], noise: float = 0.0) -> StepCost:
    cost, draw = StepCost(), np.random.default_rng(0)
    for amount in work:
        cost.note(amount, (fixed_s + each_s * amount) * (1 + noise * draw.standard_normal()))
    return cost


@pytest.mark.parametrize(("fixed_s", "each_s"), [(5e-4, 1e-10), (2e-3, 1e-12), (4e-5, 1e-10)])
def test_the_line_through_the_steps_is_found(fixed_s: float, each_s: float) -> None:
    expected = fixed_s / each_s
    work = [expected * 10.0**power for power in (-2, -1, 0, 0.5, 1, 1.5)]
    assert seen(fixed_s, each_s, work).overhead == pytest.approx(expected)
    assert seen(fixed_s, each_s, 20 * work, noise=0.1).overhead == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("work", [[1e5, 1e8], [1e6] * 50, [1e6, 2e6, 3e6] * 10], ids=["few", "equal", "alike"])
def test_too_little_to_go_by_is_the_default(work: list[float]) -> None:
    assert seen(1e-2, 1e-12, work).overhead == DEFAULT_OVERHEAD


def test_steps_that_say_nothing_sensible_stay_within_bounds() -> None:
    work = [10.0**power for power in range(4, 11)]
    assert seen(0.0, 1e-10, work).overhead == DEFAULT_OVERHEAD / 1e4, "no cost of its own"
    assert seen(1.0, 0.0, work).overhead in (DEFAULT_OVERHEAD, 1e4 * DEFAULT_OVERHEAD), "arithmetic for nothing"
    falling = StepCost()
    for amount in work:
        falling.note(amount, 1 / amount)
    assert falling.overhead == DEFAULT_OVERHEAD
    nothing = StepCost()
    for _ in range(50):
        nothing.note(0.0, 0.0)
    assert nothing.overhead == DEFAULT_OVERHEAD


def test_a_new_measurement_counts_more_than_old_ones() -> None:
    work = [10.0**power for power in (5, 6, 6.5, 7, 7.5, 8)]
    cost = seen(5e-4, 1e-10, 100 * work)
    for amount in 100 * work:
        cost.note(amount, 5e-3 + 1e-10 * amount)  # a busier machine
    assert cost.overhead == pytest.approx(5e7)


@pytest.mark.parametrize("may_compile", [False, True])
def test_the_engine_measures_the_packs_whose_members_are_padded(may_compile: bool) -> None:
    engine = Engine(torch.device("cpu"), PACK_BYTES_CPU, may_compile=may_compile)
    for width in (4, 300):
        hp = resolve({"hidden": [width, width], "epochs": 4, "batch_size": 64})
        Training(source("wine"), "accuracy", engine).train([Member(t, 0, hp) for t in range(3)], Watch())
    steps = list(engine.step_cost._seen)
    if may_compile:
        assert steps == []
        return
    narrow, wide = (3 * 64 * (16 * w + w * w + w * 16) for w in (16, 320))
    assert [work for work, _ in steps] == [narrow] * 4 + [wide] * 4
    assert all(seconds > 0 for _, seconds in steps)
    assert engine.step_cost.overhead != DEFAULT_OVERHEAD
