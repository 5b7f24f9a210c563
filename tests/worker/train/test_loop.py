"""Stopping, squeezing, leaving and going on: none of them changes anybody's bits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.hyperparameters import resolve
from foldstep.models.weights import Weights
from foldstep.service.contract.spec import CvSpec
from foldstep.worker.checkpoints import SavedTrial, decode_snapshot, encode_snapshot
from foldstep.worker.feed.shapes import FoldShape
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.packer import member_bytes, plan_packs
from foldstep.worker.train.stopping import End, Progress
from tests.oracle.single import train_single
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

WINE = source("wine")
ENGINE = Engine(torch.device("cpu"), 1 << 30)
MIX: list[dict[str, Any]] = [
    {"hidden": [16], "lr": 0.01, "epochs": 12},
    {"hidden": [24, 8], "lr": 0.03, "epochs": 12, "dropout": 0.3, "optimizer": "nesterov"},
    {"hidden": [], "lr": 0.1, "epochs": 7, "optimizer": "sgd"},
    {"hidden": [40, 40, 40], "lr": 0.003, "epochs": 9, "activation": "sigmoid", "optimizer": "adamw"},
]


def members(*configurations: dict[str, Any], folds: Sequence[int] = (0, 1, 2)) -> list[Member]:
    return [Member(t, f, resolve({"batch_size": 16, **c})) for t, c in enumerate(configurations) for f in folds]


def train(these: list[Member], watch: Watch | None = None, metric: str = "log_loss") -> Watch:
    watch = watch or Watch()
    Training(WINE, metric, ENGINE).train(these, watch)
    return watch


def flat(weights: Weights | None) -> list[bytes]:
    return [] if weights is None else [a.tobytes() for layer in weights for a in layer.values()]


def assert_same(one: Watch, other: Watch) -> None:
    assert one.done.keys() == other.done.keys()
    for key, (member, weights) in one.done.items():
        twin, twin_weights = other.done[key]
        assert member.progress == twin.progress, key
        assert flat(weights) == flat(twin_weights), key


def test_members_with_fewer_epochs_end_first_and_the_stack_is_squeezed() -> None:
    watch = train(members(*MIX))
    ends = {trial: {watch.done[trial, f][0].progress.epoch for f in range(3)} for trial in range(4)}
    assert ends == {0: {12}, 1: {12}, 2: {7}, 3: {9}}
    assert watch.epochs == 12, "one pack, in lockstep"
    assert watch.member_steps == 4 * 3 * (12 + 12 + 7 + 9), "nothing ended is counted: 4 steps an epoch, 3 folds"


def test_patience_stops_a_member_and_its_best_weights_are_kept() -> None:
    configuration = {"hidden": [32], "lr": 0.5, "optimizer": "sgd", "epochs": 60, "patience": 3}
    watch = train(members(configuration))
    stopped = [m for m, _ in watch.done.values() if m.progress.end is End.PATIENCE]
    assert stopped, "a rate this high must overshoot"
    for member in stopped:
        progress = member.progress
        assert progress.epoch == progress.best_epoch + 3
        alone = train_single(
            resolve({"batch_size": 16, **configuration, "epochs": progress.best_epoch}),
            member.fold,
            WINE.fold(member.fold, Preparation("standard")),
            "log_loss",
            torch.float32,
        )
        weights = watch.done[member.key][1]
        assert weights is not None
        np.testing.assert_allclose(
            weights[0]["weight"], alone.net.linears[0].weight.detach().numpy(), rtol=2e-3, atol=2e-4
        )


def test_a_diverging_member_ends_alone() -> None:
    calm = {"hidden": [16], "lr": 0.01, "epochs": 6}
    wild = {"hidden": [16], "lr": 1e30, "epochs": 6, "optimizer": "sgd"}
    alone, together = train(members(calm)), train(members(calm, wild))
    for fold in range(3):
        assert together.done[1, fold][0].progress.end is End.DIVERGED
        assert together.done[0, fold][0].progress == alone.done[0, fold][0].progress
        assert flat(together.done[0, fold][1]) == flat(alone.done[0, fold][1])


def test_a_dropped_trial_stops_at_the_next_epoch() -> None:
    watch = Watch()

    def drop_after_two(_: Sequence[Member]) -> None:
        if watch.epochs == 2:
            watch.drop = {1}

    watch.on_epoch = drop_after_two
    train(members(*MIX), watch)
    for fold in range(3):
        dropped = watch.done[1, fold][0].progress
        assert (dropped.end, dropped.epoch) == (End.DROPPED, 2)
    rest = train(members(*MIX))
    for trial in (0, 2, 3):
        assert flat(watch.done[trial, 0][1]) == flat(rest.done[trial, 0][1])


@pytest.mark.parametrize("leave_after", [1, 5, 8])
def test_leaving_and_going_on_elsewhere_gives_the_same_bits(leave_after: int) -> None:
    straight = train(members(*MIX))
    these = members(*MIX)
    first = train(these, Watch(leave_after=leave_after))
    rest = [through_a_file(m) for m in these if m.progress.end is None]
    second = train(rest)
    second.done |= first.done
    assert_same(straight, second)


def through_a_file(member: Member) -> Member:
    params = {"lr": 0.01, "hidden": [*member.hp.hidden]}
    saved = SavedTrial(params, "f" * 64, {member.fold: (member.progress, member.snapshot, None)})
    read = decode_snapshot(encode_snapshot(saved), params, "f" * 64)
    progress, snapshot, _ = read.folds[member.fold]
    return Member(member.trial, member.fold, member.hp, progress, snapshot)


def test_the_folds_of_a_trial_train_soon_after_each_other_in_whatever_packs() -> None:
    """So that a search whose time is over has trials that are done, not a fold of each."""
    growing = source("wine", cv=CvSpec(folds=3, time="x0"))  # folds of different lengths: packs of their own
    these = members(*[{"hidden": [16], "lr": 0.01 * (t + 1)} for t in range(8)])
    standard = Preparation("standard")
    shapes = {m.key: FoldShape(len((d := growing.fold(m.fold, standard)).y_train), len(d.y_valid), d.n_inputs)
              for m in these}  # fmt: skip
    for_two = 2 * member_bytes((16, 16, 16), shapes[0, 2], these[0].hp, is_compiled=False)  # the longest fold
    packs = plan_packs(these, shapes, 3, for_two)
    assert len(packs) == 12, "two members each"
    for place, pack in enumerate(packs):
        assert {m.trial for m in pack} == {place // 3 * 2, place // 3 * 2 + 1}


def test_folds_of_different_lengths_train_in_packs_of_their_own() -> None:
    growing = source("wine", cv=CvSpec(folds=3, time="x0"))
    these = members(*MIX[:2])
    watch = Watch()
    Training(growing, "accuracy", ENGINE).train(these, watch)
    assert len(watch.done) == 6
    sizes = [len(growing.fold(f, Preparation("standard")).y_train) for f in range(3)]
    assert sizes == sorted(set(sizes))


def test_packs_are_cut_by_memory_and_by_padding() -> None:
    shape = FoldShape(n_train=1000, n_valid=50, n_inputs=13)
    narrow = [Member(t, 0, resolve({"hidden": [16, 16]})) for t in range(8)]
    wide = [Member(t, 0, resolve({"hidden": [160, 160]})) for t in range(8, 12)]
    shapes = {m.key: shape for m in narrow + wide}
    by_padding = plan_packs(narrow + wide, shapes, 3, 1 << 30)
    assert [len(p) for p in by_padding] == [4, 8], "a narrow member padded to 160 would pay 40 times its own work"
    assert [len(p) for p in plan_packs(narrow + wide, shapes, 3, 1 << 30, overhead=1e9)] == [12], "steps cost more"
    room_for_three = 3 * member_bytes((16, 16, 16, 16), shape, narrow[0].hp, is_compiled=False)
    by_memory = plan_packs(narrow, shapes, 3, room_for_three)
    assert [len(p) for p in by_memory] == [3, 3, 2]


def test_units_with_a_second_map_are_counted_twice() -> None:
    shape = FoldShape(n_train=1000, n_valid=50, n_inputs=16)
    plain, glu = (resolve({"hidden": [160], "units": units}) for units in ("plain", "glu"))
    one, two = (member_bytes((16, 160, 16), shape, hp, is_compiled=True) for hp in (plain, glu))
    assert two - one >= 4 * 7 * (16 + 1) * 160  # each weight is stored seven times
    packs = plan_packs(
        [Member(t, 0, replace(glu, hidden=(width,))) for t, width in enumerate([160, 16])],
        {(0, 0): shape, (1, 0): shape}, 3, 1 << 30, overhead=128 * (1.5 * 144 * (16 + 16)),
    )  # fmt: skip
    assert len(packs) == 2, "the padding of a second map is work, too"


def test_wide_layers_share_a_pack_only_with_their_like() -> None:
    # beyond 192 terms the matrix library's sums depend on the padded length
    shape = FoldShape(n_train=100, n_valid=50, n_inputs=13)
    these = [Member(t, 0, resolve({"hidden": [w]})) for t, w in enumerate([250, 256, 257, 300, 150])]
    packs = plan_packs(these, {m.key: shape for m in these}, 3, 1 << 30)
    assert sorted(sorted(m.hp.hidden[0] for m in p) for p in packs) == [[150], [250, 256], [257, 300]]


def test_bits_of_wide_networks_do_not_depend_on_the_packing() -> None:
    widths: list[dict[str, Any]] = [{"hidden": [w, 20], "epochs": 3, "lr": 0.003} for w in (193, 250, 256, 300, 180)]
    together = train(members(*widths))
    for trial in range(len(widths)):
        alone = train([m for m in members(*widths) if m.trial == trial])
        for key, (member, weights) in alone.done.items():
            assert flat(weights) == flat(together.done[key][1])
            assert member.progress == together.done[key][0].progress


def test_progress_survives_json() -> None:
    averages, of_targets = [0.1], [[0.05, 0.15]]
    progress = Progress([0.5, None], [0.1, None], averages, 1, 1, [True, False], End.DIVERGED, target_scores=of_targets)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress


def test_progress_of_an_earlier_version_keeps_its_best_epoch() -> None:
    """It had a best score in place of averages."""
    told = {"train_loss": [3.0, 2.0, 1.0], "scores": [0.3, 0.1, 0.2], "best_score": 0.1, "best_epoch": 2, "waited": 1}
    progress = Progress.from_json({**told, "is_better": [True, True, False], "end": None, "restarts": []})
    assert (progress.best_epoch, progress.best_average, progress.averages) == (2, 0.1, [0.3, 0.1, 0.2])
    progress.record(0.9, 0.9, 0.05, METRICS["log_loss"], resolve({"epochs": 4}))
    assert (progress.best_epoch, progress.best_average, progress.end) == (4, 0.05, End.EPOCHS)
