"""A fast way that takes steps wrongly is found out by its values, however little it is off, and a right one is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from foldstep.models.catalog.hyperparameters import PRECISIONS
from foldstep.models.stack import STATISTICS
from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.steps import agreement
from foldstep.worker.steps.agreement import Compared, Comparison, kinds_of
from foldstep.worker.steps.engine import Engine
from foldstep.worker.steps.graphs import Recorder
from foldstep.worker.train.loop import Training
from foldstep.worker.train.trainer import PackTrainer
from tests.worker.steps.tape import record_tape
from tests.worker.train.test_packed import CPU, METRIC, SOURCES, bits, members
from tests.worker.train.watch import Watch

MIX: list[dict[str, Any]] = [
    {"hidden": [16, 8], "optimizer": "adam", "norm": "batch", "ema_decay": 0.9},
    {"hidden": [24], "optimizer": "rmsprop", "dropout": 0.2, "activation": "tanh"},
    {"hidden": [8], "optimizer": "nesterov", "weight_decay": 0.01, "activation": "gelu"},
]
WRONG = 1 + 1e-3
"""Times what is right: what a wrong way makes of it."""


def trainer_of(mix: list[dict[str, Any]], dtype: torch.dtype = torch.float32) -> PackTrainer:
    these = members([{"batch_size": 16} | hp for hp in mix], epochs=4, folds=1)
    return Training(SOURCES["wine"], METRIC["wine"], Engine(CPU, 1 << 30, dtype, may_compile=False)).trainer(these)


class Planted:
    """The plain way, and after its epoch something that is wrong."""

    def __init__(self, pack: PackTrainer, spoil: Callable[[PackTrainer, list[Tensor], Tensor], None]) -> None:
        self.pack, self.spoil = pack, spoil

    def covers(self, _steps: range, _before: int) -> bool:
        return True

    def prepare(self, _batches: EpochBatches, _before: int) -> None:
        """There is nothing to prepare."""

    def run(self, batches: EpochBatches, steps: range, before: int) -> Tensor:
        start = [part.flat.clone() for part in self.pack.net.parameters.parts]
        losses = self.pack._eager.run(batches, steps, before)
        self.spoil(self.pack, start, losses)
        return losses


def compare(pack: PackTrainer, spoil: Callable[[PackTrainer, list[Tensor], Tensor], None]) -> Compared:
    comparison = Comparison(pack._eager, pack.net, pack.optimizer, pack.average)
    batches = pack._batches.of(1, pack._eager.columns)
    return comparison.run(Planted(pack, spoil), batches, range(pack.n_steps), 0)


def everything(pack: PackTrainer) -> list[bytes]:
    assert pack.average is not None
    tensors = [pack.net.parameters.buffer, pack.average.weights.buffer, pack.optimizer.step_count]
    return [t.numpy().tobytes() for t in (*tensors, *(r.values for r in pack.optimizer.member_rows()))]


def a_larger_update(pack: PackTrainer, start: list[Tensor], _losses: Tensor) -> None:
    """Of the last member that has such a layer."""
    part = pack.net.parameters.parts[0]
    part.flat[-1].add_((WRONG - 1) * (part.flat[-1] - start[0][-1]))


def a_unit_that_is_not_updated(pack: PackTrainer, start: list[Tensor], _losses: Tensor) -> None:
    part = next(p for p in pack.net.parameters.parts if p.name == "bias")
    at = pack.net.parameters.parts.index(part)
    part.flat[1, 3] = start[at][1, 3]


def a_wrong_loss(_pack: PackTrainer, _start: list[Tensor], losses: Tensor) -> None:
    losses[1] *= WRONG


def no_loss(_pack: PackTrainer, _start: list[Tensor], losses: Tensor) -> None:
    losses[2] = torch.inf


def a_moment_that_is_no_number(pack: PackTrainer, _start: list[Tensor], _losses: Tensor) -> None:
    pack.optimizer.first.parts[0].flat[0, 0] = torch.nan


def a_wrong_square(pack: PackTrainer, _start: list[Tensor], _losses: Tensor) -> None:
    assert pack.optimizer.second is not None
    pack.optimizer.second.parts[0].flat[0].mul_(WRONG)


def an_average_that_lags(pack: PackTrainer, start: list[Tensor], _losses: Tensor) -> None:
    assert pack.average is not None
    average = pack.average.weights.parts[0].flat
    average[0].add_(0.05 * (start[0][0] - average[0]))


def wrong_statistics(pack: PackTrainer, start: list[Tensor], _losses: Tensor) -> None:
    at, part = next((i, p) for i, p in enumerate(pack.net.parameters.parts) if p.name in STATISTICS)
    part.flat.add_((WRONG - 1) * (part.flat - start[at]))


def a_step_that_is_not_counted(pack: PackTrainer, _start: list[Tensor], _losses: Tensor) -> None:
    pack.optimizer.advance(-1)


FAULTS: dict[Callable[[PackTrainer, list[Tensor], Tensor], None], str] = {
    a_larger_update: "parameter `weight` of layer 1",
    a_unit_that_is_not_updated: "parameter `bias` of layer 1",
    a_wrong_loss: "loss",
    no_loss: "loss",
    a_moment_that_is_no_number: "number 0 of the optimizer",
    a_wrong_square: "of the optimizer",
    an_average_that_lags: "running average `weight` of layer 1",
    wrong_statistics: "parameter `running_",
    a_step_that_is_not_counted: "count of steps",
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_what_is_wrong_is_found_and_the_plain_numbers_stand(fault: Any, dtype: torch.dtype) -> None:
    pack, plain = trainer_of(MIX, dtype), trainer_of(MIX, dtype)
    compared = compare(pack, fault)
    losses = plain._eager.run(plain._batches.of(1, plain._eager.columns), range(plain.n_steps), 0)
    assert compared.difference is not None
    assert FAULTS[fault] in str(compared.difference)
    assert torch.equal(compared.losses, losses)
    assert everything(pack) == everything(plain)


def test_the_member_that_is_wrong_is_named() -> None:
    pack = trainer_of(MIX)
    compared = compare(pack, a_wrong_loss)
    assert compared.difference is not None
    assert compared.difference.member == pack.members[1].key
    assert compared.difference.distance == pytest.approx(WRONG - 1, rel=1e-2)


def rounding(pack: PackTrainer, _start: list[Tensor], losses: Tensor) -> None:
    """Move everything by a few units in the last place."""
    for tensor in (pack.net.parameters.buffer, pack.optimizer.first.buffer, losses):
        tensor.mul_(1 + 2 * torch.finfo(tensor.dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_rounding_explains_is_right_and_stands(dtype: torch.dtype) -> None:
    pack, plain = trainer_of(MIX, dtype), trainer_of(MIX, dtype)
    assert compare(pack, rounding).difference is None
    plain._eager.run(plain._batches.of(1, plain._eager.columns), range(plain.n_steps), 0)
    assert everything(pack) != everything(plain)


def test_a_way_that_fails_leaves_all_as_it_was() -> None:
    pack, untouched = trainer_of(MIX), trainer_of(MIX)

    def fail(*_: Any) -> None:
        raise RuntimeError("an illegal instruction was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        compare(pack, fail)
    assert everything(pack) == everything(untouched)


def test_coarser_products_allow_more() -> None:
    """A thousandth of an update is nothing where factors have ten binary digits, and a fifth of one is."""

    def a_fifth(pack: PackTrainer, start: list[Tensor], _losses: Tensor) -> None:
        part = pack.net.parameters.parts[0]
        part.flat[-1].add_(0.2 * (part.flat[-1] - start[0][-1]))

    for precision in PRECISIONS:
        mix = [hp | {"precision": precision} for hp in MIX]
        is_right = compare(trainer_of(mix), a_larger_update).difference is None
        assert is_right == (precision != "float32")
        assert compare(trainer_of(mix), a_fifth).difference is not None


def test_a_training_that_rounding_leads_elsewhere_is_not_held_against_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """At this rate weights that differ by a rounding are far apart after an epoch; other members stay under watch."""
    wild = {"hidden": [16, 16], "optimizer": "sgd", "lr": 30.0, "activation": "tanh"}
    pack = trainer_of([wild, *MIX[1:]])
    at = next(i for i, m in enumerate(pack.members) if m.hp.lr == 30.0)

    def otherwise_rounded(pack: PackTrainer, _start: list[Tensor], _losses: Tensor) -> None:
        """As the same epoch from weights that differ by a rounding, of that member alone."""
        twin = trainer_of([wild, *MIX[1:]])
        twin.net.parameters.buffer.mul_(1 + 2.0**-20)
        twin._eager.run(twin._batches.of(1, twin._eager.columns), range(twin.n_steps), 0)
        for part, its in zip(pack.net.parameters.parts, twin.net.parameters.parts, strict=True):
            run = pack.net.layout.blocks[part.block].run
            if run.holds(at):
                part.flat[at - run.start] = its.flat[at - run.start]

    assert compare(pack, otherwise_rounded).difference is None
    assert compare(trainer_of([wild, *MIX[1:]]), a_larger_update).difference is not None
    monkeypatch.setattr(agreement, "_AMPLIFIED", 0.0)
    assert compare(trainer_of([wild, *MIX[1:]]), otherwise_rounded).difference is not None


def test_a_member_that_diverged_has_to_diverge() -> None:
    mix = [{"hidden": [8], "optimizer": "sgd", "lr": 1e30, "activation": "relu"}, *MIX[1:]]
    pack = trainer_of(mix)
    at = next(i for i, m in enumerate(pack.members) if m.hp.lr == 1e30)

    def other_rubbish(pack: PackTrainer, _start: list[Tensor], losses: Tensor) -> None:
        assert not losses[at].isfinite()
        pack.net.parameters.parts[0].flat[at].fill_(1.0)

    def finite(_pack: PackTrainer, _start: list[Tensor], losses: Tensor) -> None:
        losses[at] = 1.0

    assert compare(pack, other_rubbish).difference is None
    assert compare(trainer_of(mix), finite).difference is not None


def test_kinds_tell_members_apart_that_other_code_trains() -> None:
    def kinds(**more: Any) -> frozenset[tuple[str, object]]:
        return kinds_of(trainer_of([{"hidden": [16], "lr": 0.01} | more]).net.layout)

    assert kinds() == kinds(lr=0.02, beta1=0.5)
    for more in ({"optimizer": "sgd"}, {"dropout": 0.1}, {"activation": "elu"}, {"hidden": []}, {"l1": 1e-3}):
        assert kinds() != kinds(**more)


# -- captured steps ---------------------------------------------------------------------------------------------------

GRAPHS = [
    {"hidden": [16], "optimizer": "adam", "batch_size": 10},
    {"hidden": [8], "optimizer": "sgd", "batch_size": 10},
]


def train(recorder: Recorder | None) -> Watch:
    watch, engine = Watch(), Engine(CPU, 1 << 30, torch.float32, may_compile=False, recorder=recorder)
    Training(SOURCES["wine"], METRIC["wine"], engine).train(members(GRAPHS, epochs=4, folds=1), watch)
    return watch


def assert_refused_once(caplog: pytest.LogCaptureFixture, watch: Watch) -> str:
    """Only one warning, and the bits of the plain way."""
    plain = train(None)
    assert all(bits(watch, key) == bits(plain, key) for key in plain.done)
    (record,) = caplog.records
    return record.getMessage()


def test_captured_steps_that_miss_an_update_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    def forgetful(step: Callable[[], None]) -> Callable[[], None]:
        replay, taken = record_tape(step), [0]
        tape = replay.__self__  # type: ignore[attr-defined]
        last = next(i for i in reversed(range(len(tape.calls))) if "addcmul_" in str(tape.calls[i][0]))

        def take() -> None:
            taken[0] += 1
            call = tape.calls.pop(last) if taken[0] == 2 else None
            replay()
            if call is not None:
                tape.calls.insert(last, call)

        return take

    watch = train(forgetful)
    assert assert_refused_once(caplog, watch).startswith(
        "steps are not taken by captured steps, for it is wrong: of trial"
    )


def test_captured_steps_that_are_fed_stale_batches_are_refused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which the first epoch, whose batches were there when the step was captured, does not show."""
    monkeypatch.setattr(EpochBatches, "copy_", lambda *_: None)
    assert "captured steps" in assert_refused_once(caplog, train(record_tape))


def test_captured_steps_that_are_right_are_taken_and_compared_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    run = Comparison.run

    def counting(self: Comparison, *arguments: Any) -> Compared:
        compared.append(arguments[3])
        return run(self, *arguments)

    monkeypatch.setattr(Comparison, "run", counting)
    engine = Engine(CPU, 1 << 30, torch.float32, may_compile=False, recorder=record_tape)
    training = Training(SOURCES["wine"], METRIC["wine"], engine)
    for _ in range(2):
        training.train(members(GRAPHS, epochs=4, folds=1), Watch())
    assert compared == [0, 6], "two epochs of the first pack"
    training.train(members([hp | {"dropout": 0.5} for hp in GRAPHS], epochs=4, folds=1), Watch())
    assert compared == [0, 6] * 2, "other code is compared for itself"
    assert caplog.records == []


def test_what_was_refused_stays_out(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EpochBatches, "copy_", lambda *_: None)
    engine = Engine(CPU, 1 << 30, torch.float32, may_compile=False, recorder=record_tape)
    training = Training(SOURCES["wine"], METRIC["wine"], engine)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            training.train(members(GRAPHS, epochs=4, folds=1), Watch())
    assert len(caplog.records) == 1
