"""Several packs in training at the same time: the same bits, and states that fit together at any time."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.packer import split_largest
from foldstep.worker.train.trainer import PackTrainer
from tests.worker.train.test_loop import assert_same
from tests.worker.train.test_packed import CPU, METRIC, SOURCES, bits, members, scenes
from tests.worker.train.watch import Watch

MIX: list[dict[str, Any]] = [
    {"hidden": [16], "epochs": 6, "batch_size": 16},
    {"hidden": [24, 8], "epochs": 7, "dropout": 0.3, "optimizer": "nesterov", "batch_size": 20},
    {"hidden": [40], "epochs": 9, "lr": 0.01, "norm": "layer", "batch_size": 30},
    {"hidden": [8], "epochs": 5, "patience": 2, "lr": 0.1, "batch_size": 60},
]


def mixed() -> list[Member]:
    """Four batch sizes: four packs."""
    return [Member(t, f, resolve(c)) for t, c in enumerate(MIX) for f in range(3)]


def train(
    these: list[Member], at_once: int, watch: Watch | None = None, *, may_compile: bool = True, name: str = "wine"
) -> Watch:
    watch = watch or Watch()
    engine = Engine(CPU, 100_000, may_compile=may_compile, packs_in_flight=at_once)
    Training(SOURCES[name], METRIC[name], engine).train(these, watch)
    return watch


@pytest.mark.parametrize("may_compile", [True, False])
@given(scene=scenes(), at_once=st.integers(2, 4))
def test_the_bits_do_not_depend_on_how_many_are_in_flight(
    may_compile: bool, scene: tuple[str, list[dict[str, Any]]], at_once: int
) -> None:
    name, mix = scene
    one, several = (train(members(mix, 4), n, may_compile=may_compile, name=name) for n in (1, at_once))
    assert one.done.keys() == several.done.keys()
    for key in one.done:
        assert bits(one, key) == bits(several, key)


def test_epochs_of_several_packs_alternate() -> None:
    order: list[int] = []
    watch = Watch()
    watch.on_epoch = lambda trained: order.append(trained[0].hp.batch_size)
    train(mixed(), 2, watch)
    changes = sum(a != b for a, b in pairwise(order))
    assert changes > len(order) / 2
    assert len(set(order[:6])) == 2, "no more than two at a time"


class Saving(Watch):
    """Remembers what the members carry whenever all have taken their states."""

    def __init__(self, these: list[Member], every: int) -> None:
        super().__init__()
        self.these, self.every, self.asked = these, every, 0
        self.saved: list[list[Member]] = []

    def wants_snapshots(self) -> bool:
        self.asked += 1
        return self.asked % self.every == 0

    def snapshots_taken(self) -> None:
        self.saved.append(deepcopy(self.these))


@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("every", [1, 3])
def test_every_saved_state_leads_to_the_same_result(at_once: int, every: int) -> None:
    straight = train(mixed(), 1)
    these = mixed()
    watch = Saving(these, every)
    train(these, at_once, watch)
    assert_same(straight, watch)
    assert len(watch.saved) >= 2
    if every == 1:
        seen = {(m.trial, m.progress.epoch) for saved in watch.saved for m in saved if not m.is_resting}
        assert seen >= {(0, e) for e in range(1, 6)} | {(1, e) for e in range(1, 7)} | {(2, e) for e in range(1, 9)}
    for saved in watch.saved:
        resumed = []
        for member in saved:
            if not member.is_resting:
                assert (member.snapshot is None) == (member.progress.epoch == 0)
                resumed.append(Member(member.trial, member.fold, member.hp, member.progress, member.snapshot))
        rest = train(resumed, at_once)
        for key in rest.done:
            assert bits(rest, key) == bits(straight, key)


def test_all_packs_in_flight_take_their_states_in_a_round() -> None:
    these = mixed()
    watch = Saving(these, 3)
    train(these, 3, watch)
    first = watch.saved[0]
    begun = [m for m in first if m.progress.epoch and not m.is_resting]
    assert len({m.hp.batch_size for m in begun}) == 3
    assert all(m.snapshot is not None for m in begun)


@pytest.mark.parametrize("at_once", [2, 3])
def test_members_that_fit_only_alone_wait_for_the_others(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = train(mixed(), 1)
    engine = Engine(CPU, 100_000, packs_in_flight=at_once)
    training, watch = Training(SOURCES["wine"], METRIC["wine"], engine), Watch()
    right, failures = PackTrainer.train_epoch, list[int]()

    def without_room_beside_others(self: PackTrainer, epoch: int) -> torch.Tensor:
        if {1, 2} & {m.trial for m in self.members} and not training._in_flight.is_alone:
            failures.append(len(self.members))
            raise torch.cuda.OutOfMemoryError
        return right(self, epoch)

    monkeypatch.setattr(PackTrainer, "train_epoch", without_room_beside_others)
    training.train(mixed(), watch)
    assert_same(straight, watch)
    assert failures == [3, 1, 3, 1], "what is left of such a pack stays alone, too"


def test_a_member_that_does_not_fit_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_room(*_: Any) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(PackTrainer, "train_epoch", without_room)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        train(mixed(), 2)


def test_a_large_pack_is_split_so_that_two_are_in_flight() -> None:
    many = [Member(t, 0, resolve({"hidden": [8]})) for t in range(100)]
    assert [len(p) for p in split_largest([many], 2)] == [50, 50]
    assert [m for p in split_largest([many], 2) for m in p] == many
    assert [len(p) for p in split_largest([many[:70], many[70:]], 3)] == [35, 35, 30]
    assert [len(p) for p in split_largest([many[:60]], 2)] == [60], "too small to be worth it"
    assert split_largest([], 2) == []
    assert split_largest([many, many], 2) == [many, many]
