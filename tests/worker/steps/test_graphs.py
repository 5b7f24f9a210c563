"""Captured steps, on a tape that stands in for CUDA graphs: the same bits as steps that are called one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given

from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps.engine import Engine
from foldstep.worker.steps.graphs import WARM_UP, Recorder
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.steps.tape import record_tape
from tests.worker.train.test_packed import CPU, METRIC, SOURCES, bits, members, scenes
from tests.worker.train.watch import Watch


def train(name: str, these: list[Member], recorder: Recorder | None) -> Watch:
    engine = Engine(CPU, 1 << 30, torch.float32, may_compile=False, recorder=recorder)
    watch = Watch()
    Training(SOURCES[name], METRIC[name], engine).train(these, watch)
    assert all(t.next_of(["captured steps"]) for t in engine.timings.values()), "they were found to be wrong"
    return watch


def assert_same(one: Watch, other: Watch) -> None:
    assert one.done.keys() == other.done.keys()
    for key in one.done:
        assert bits(one, key) == bits(other, key)


@given(scene=scenes())
def test_captured_steps_give_the_bits_of_steps_that_are_called(scene: tuple[str, list[dict[str, Any]]]) -> None:
    name, mix = scene
    assert_same(train(name, members(mix, epochs=4), record_tape), train(name, members(mix, epochs=4), None))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_kind_of_step_can_be_captured(optimizer: str, norm: str, caplog: pytest.LogCaptureFixture) -> None:
    """With dropout, a moving rate, a running average and penalties: nothing waits for the device inside an epoch."""
    hp = {"hidden": [16, 8], "optimizer": optimizer, "norm": norm, "batch_size": 500 if optimizer == "lbfgs" else 16}
    more = {
        "dropout": 0.3,
        "input_dropout": 0.1,
        "schedule": "one_cycle",
        "ema_decay": 0.9,
        "l1": 1e-3,
        "clip_norm": 1.0,
    }
    mix = [hp, hp | more] if optimizer != "lbfgs" else [hp]
    counted: list[int] = []

    def counting(step: Callable[[], None]) -> Callable[[], None]:
        replay, at = record_tape(step), len(counted)
        counted.append(0)

        def take() -> None:
            counted[at] += 1
            replay()

        return take

    captured = train("wine", members(mix, epochs=6), counting)
    assert caplog.records == []
    if optimizer != "lbfgs":  # which takes one step an epoch: there is nothing to repeat
        n_steps = 4
        first_epoch = n_steps - 1 - WARM_UP  # after the first step of all, and those that warm up
        # the last step of a probed epoch, of the last one here, is taken apart
        assert counted == [first_epoch + 5 * n_steps]
    assert_same(captured, train("wine", members(mix, epochs=6), None))


def test_a_device_that_cannot_capture_trains_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(step: Callable[[], None]) -> Callable[[], None]:
        step()
        raise RuntimeError("operation not permitted when stream is capturing")

    mix = [{"hidden": [16], "optimizer": "adam", "batch_size": 16}]
    with caplog.at_level(logging.WARNING):
        assert_same(train("wine", members(mix, epochs=4), refuse), train("wine", members(mix, epochs=4), None))
    assert [r.getMessage() for r in caplog.records] == [
        "steps are not captured, which is slower: operation not permitted when stream is capturing"
    ]


def test_running_out_of_memory_while_capturing_is_not_taken_for_a_device_that_cannot() -> None:
    def exhaust(_step: Callable[[], None]) -> Callable[[], None]:
        raise torch.cuda.OutOfMemoryError("no room")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        train("wine", [Member(0, 0, resolve({"hidden": [16], "batch_size": 16, "epochs": 2}))], exhaust)


def test_the_tape_refuses_what_a_graph_cannot_hold() -> None:
    x = torch.ones(3)
    for step in (lambda: x.add_(x.sum().item()), lambda: x.add_(torch.tensor([1.0, 2.0, 3.0])), lambda: x.nonzero()):
        with pytest.raises(RuntimeError, match="cannot be captured"):
            record_tape(step)
