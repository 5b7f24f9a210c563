"""The packed engine against the oracle, and against itself in another packing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foldstep.models.hyperparameters import (
    ACTIVATIONS,
    BATCH_SCALINGS,
    INITS,
    LOSSES_OF_TASK,
    NORMS,
    ON_DIVERGENCE,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    resolve,
)
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.oracle.single import train_single
from tests.worker.steps.bf16 import multiplying_bf16
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

SOURCES = {"wine": source("wine"), "counts": source("diabetes", exposure=True)}
METRIC = {"wine": "log_loss", "counts": "rmse"}
CPU = torch.device("cpu")
MORE = settings(max_examples=2 * settings.default.max_examples)
"""These two tests carry the whole product."""
BOTH_STEPS = pytest.mark.parametrize("may_compile", [True, False], ids=["compiled", "eager"])


@pytest.fixture(autouse=True, scope="module")
def bf16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Products of bf16 factors are tested on every machine, not only where they are fast."""
    with multiplying_bf16(tmp_path_factory.mktemp("portable")):
        yield


params = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.sampled_from([1, 3, 8, 16, 17, 40]), max_size=3),
        "init": st.sampled_from(INITS),
        "optimizer": st.sampled_from(list(OPTIMIZERS)),
        "lr": st.sampled_from([1e-4, 1e-3, 1e-2, 0.03]),
        "weight_decay": st.sampled_from([0.0, 1e-3, 0.1]),
        "scaler": st.sampled_from(["standard", "minmax"]),
        "batch_size": st.sampled_from([16, 23, 500]),
        "seed": st.sampled_from([0, 1, 2**62]),
        "activation": st.sampled_from(list(ACTIVATIONS)),
    },
    optional={
        "momentum": st.sampled_from([0.0, 0.5, 0.95]),
        "beta1": st.sampled_from([0.5, 0.95]),
        "beta2": st.sampled_from([0.9, 0.99]),
        "activation_1": st.sampled_from(list(ACTIVATIONS)),
        "dropout": st.sampled_from([0.0, 0.25, 0.6]),
        "dropout_2": st.sampled_from([0.0, 0.5]),
        "norm": st.sampled_from(list(NORMS)),
        "input_dropout": st.sampled_from([0.0, 0.2]),
        "init_gain": st.sampled_from([0.5, 1.5]),
        "bias_init": st.sampled_from([0.0, 0.1]),
        "rho": st.sampled_from([0.8, 0.95]),
        "l1": st.sampled_from([0.0, 1e-3]),
        "clip_norm": st.sampled_from([0.0, 0.5, 5.0]),
        "ema_decay": st.sampled_from([0.0, 0.5, 0.9]),
        "schedule": st.sampled_from(list(SCHEDULES)),
        "warmup_epochs": st.sampled_from([0, 2]),
        "decay_epochs": st.sampled_from([1, 3]),
        "cycle_epochs": st.sampled_from([1, 3]),
        "cycle_growth": st.sampled_from([1, 2]),
        "lr_floor": st.sampled_from([0.0, 0.1]),
        "scale_lr_with_batch": st.sampled_from(BATCH_SCALINGS),
        "width_1": st.sampled_from([5, 33]),
        "on_divergence": st.sampled_from(ON_DIVERGENCE),
        "precision": st.sampled_from(PRECISIONS),  # nothing is rounded in float64
    },
)
ONE_TASK = {
    "wine": st.fixed_dictionaries(
        {},
        optional={
            "label_smoothing": st.sampled_from([0.0, 0.1]),
            "class_weight": st.sampled_from(["none", "balanced", {"0": 3.0, "2": 0.5}]),
        },
    ),
    "counts": st.fixed_dictionaries(
        {},
        optional={"loss": st.sampled_from(LOSSES_OF_TASK["regression"]), "huber_delta": st.sampled_from([0.3, 1.0])},
    ),
}
"""What has a meaning for one task only."""


@st.composite
def scenes(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """A data set and the configurations of some trials on it, from the whole table of hyperparameters."""
    name = draw(st.sampled_from(sorted(SOURCES)))
    mix = [draw(params) | draw(ONE_TASK[name]) for _ in range(draw(st.integers(1, 5)))]
    for trial in mix:
        if trial.get("norm") == "layer":
            # where everything below is dropped or dead, a layer's units would all equal their bias, and normalised lie
            # on the kink of relu, on this side of it or on that by the rounding of their mean
            trial["bias_init"] = 0.0
        if trial["optimizer"] == "lbfgs":  # full batches; beyond a rate of 1 it has to step back
            trial |= {"lr": draw(st.sampled_from([0.3, 1.0, 4.0])), "batch_size": 500}
    return name, mix


def members(mix: list[dict[str, Any]], epochs: int | None, folds: int = 3) -> list[Member]:
    """The members of a mix; without `epochs` each trial trains for 50 steps at least."""
    configurations = [resolve({**p, "epochs": epochs or epochs_for_steps(p["batch_size"], 50)}) for p in mix]
    return [Member(trial, fold, hp) for trial, hp in enumerate(configurations) for fold in range(folds)]


def train(
    name: str, these: list[Member], *, dtype: torch.dtype, may_compile: bool = True, pack_bytes: int = 1 << 30
) -> Watch:
    watch = Watch()
    Training(SOURCES[name], METRIC[name], Engine(CPU, pack_bytes, dtype, may_compile)).train(these, watch)
    return watch


def bits(watch: Watch, key: tuple[int, int]) -> tuple[Any, ...]:
    member, weights = watch.done[key]
    flat = [] if weights is None else [a.tobytes() for layer in weights for a in layer.values()]
    return (member.progress.train_loss, member.progress.scores, member.progress.best_epoch, flat)


def epochs_for_steps(batch_size: int, steps: int) -> int:
    n_train = 60  # two thirds of the rows of `source`
    return -(-steps // -(-n_train // min(batch_size, n_train)))


@BOTH_STEPS
@MORE
@given(scene=scenes())
def test_a_pack_equals_stock_pytorch(may_compile: bool, scene: tuple[str, list[dict[str, Any]]]) -> None:
    name, mix = scene
    # 50 steps at least, in float64: every loss and every score of every epoch within 1e-5
    these = members(mix, epochs=None)
    watch = train(name, these, dtype=torch.float64, may_compile=may_compile)
    for member, _ in watch.done.values():
        assert_equals_oracle(name, member)


def assert_equals_oracle(name: str, member: Member) -> None:
    data = SOURCES[name].fold(member.fold, member.hp.scaler, member.hp.link)
    alone = train_single(member.hp, member.fold, data, METRIC[name])
    of_pack = (member.progress.train_loss, member.progress.scores)
    is_same = all(
        np.allclose(a, b, rtol=1e-5, atol=0) for a, b in zip(of_pack, (alone.train_loss, alone.scores), strict=True)
    )
    if not is_same:
        # some of these configurations are chaotic: the oracle itself ends elsewhere when its weights start 1e-13 away
        shifted = train_single(member.hp, member.fold, data, METRIC[name], shift=1e-13)
        own = np.abs(np.array(shifted.scores + shifted.train_loss) / np.array(alone.scores + alone.train_loss) - 1)
        assert own.max() > 1e-6, f"{member.key} {member.hp}: {of_pack}, however: {alone.train_loss} {alone.scores}"


@BOTH_STEPS
@MORE
@given(scene=scenes(), shuffle=st.randoms(use_true_random=False), pack_bytes=st.sampled_from([1, 200_000, 1 << 30]))
def test_bits_do_not_depend_on_the_packing(
    may_compile: bool, scene: tuple[str, list[dict[str, Any]]], shuffle: Any, pack_bytes: int
) -> None:
    name, mix = scene
    training = partial(train, name, dtype=torch.float32, may_compile=may_compile)
    together = training(members(mix, epochs=4))
    others = members(mix, epochs=4)
    shuffle.shuffle(others)
    cut = shuffle.randint(0, len(others))
    apart = [training(part, pack_bytes=pack_bytes) for part in (others[:cut], others[cut:])]
    for key in together.done:
        watch = next(w for w in apart if key in w.done)
        assert bits(watch, key) == bits(together, key)
