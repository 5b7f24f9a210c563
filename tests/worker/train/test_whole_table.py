"""Random specs from the whole table of hyperparameters, every name mixed with every other, in one pack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foldstep.models.catalog.hyperparameters import LEAST_EPS, REGISTRY
from foldstep.models.catalog.kinds import Hyperparameter, Kind, Value
from foldstep.models.catalog.losses import LOSSES_OF_TASK
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.parse import parse_spec
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.stopping import End
from tests.worker.train.data import source
from tests.worker.train.test_loop import flat
from tests.worker.train.watch import Watch

SOURCES = {"classification": source("wine"), "regression": source("diabetes", exposure=True)}
SMALL = {"depth": 3, "width": 40, "epochs": 4, "warmup_epochs": 3, "patience": 3, "decay_epochs": 4, "cycle_epochs": 4,
         "cycle_growth": 3, "batch_size": 70, "embedding_size": 6, "embedding_frequencies": 20,
         "embedding_bins": 20}  # fmt: skip
"""Greatest values drawn where the table allows what would take minutes."""
UNBOUNDED = 20.0


def values_of(row: Hyperparameter, task: str) -> st.SearchStrategy[Value]:
    """Any value of a row; a row of a kind that this does not know fails the test, so that no name is left out."""
    if row.kind is Kind.WIDTHS:
        return st.lists(st.integers(1, SMALL["width"]), max_size=3)
    if row.kind is Kind.CLASS_WEIGHT:
        weights = st.dictionaries(st.sampled_from(["0", "1", "2"]), st.floats(0.01, 100), min_size=1)
        return st.one_of(st.sampled_from(["none", "balanced"]), weights)
    if row.name == "loss":
        return st.sampled_from(LOSSES_OF_TASK[task])
    if row.kind is Kind.CHOICE:
        return st.sampled_from(row.choices)
    low = 2 if row.name == "batch_size" else row.low or 0  # one row and batch normalisation are refused
    high = SMALL.get(row.name, UNBOUNDED if row.high is None else row.high)
    if row.kind is Kind.INT:
        return st.integers(int(low), int(high))
    return st.floats(low, high, exclude_min=row.low_open, exclude_max=row.high_open, allow_subnormal=False)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A spec in which every name of the table has a choice of values, or a condition, or is left out."""
    task = draw(st.sampled_from(sorted(SOURCES)))
    left_out = draw(st.sampled_from([{"hidden"}, {"depth", "width"}]))
    names = [name for name in REGISTRY if name not in left_out]
    parameters: dict[str, Any] = {}
    for name in names + [f"{n}_1" for n, row in REGISTRY.items() if row.per_layer]:
        row = REGISTRY[name.removesuffix("_1")]
        if name == "batch_size":  # members of a pack agree on it
            parameters[name] = draw(values_of(row, task))
        elif draw(st.integers(0, 3)):
            choices = draw(st.lists(values_of(row, task), min_size=1, max_size=3, unique_by=repr))
            parameters[name] = {"choices": choices}
    parameters["epochs"] = draw(st.integers(1, SMALL["epochs"]))
    return {"name": "any", "data": {"dataset": "x", "task": task}, "parameters": parameters}


@given(raw=specs(), seed=st.integers(0, 2**32 - 1))
def test_every_name_trains_with_every_other_and_keeps_its_bits(raw: dict[str, Any], seed: int) -> None:
    space = parse_spec(raw).space
    points = np.random.default_rng(seed).random((5, len(space.parameters)))
    trials = [space.from_unit(dict(zip(space.parameters, p, strict=True))) for p in points]
    together = train(raw, members(trials))
    for trial in range(len(trials)):
        alone = train(raw, [m for m in members(trials) if m.trial == trial])
        for key, (member, weights) in alone.done.items():
            assert member.progress.end in (End.EPOCHS, End.PATIENCE, End.DIVERGED)
            assert member.progress == together.done[key][0].progress
            assert flat(weights) == flat(together.done[key][1])


def members(trials: list[dict[str, Value]]) -> list[Member]:
    return [Member(t, fold, resolve(params)) for t, params in enumerate(trials) for fold in range(2)]


def train(raw: dict[str, Any], these: list[Member]) -> Watch:
    watch = Watch()
    task = raw["data"]["task"]
    metric = "accuracy" if task == "classification" else "rmse"
    Training(SOURCES[task], metric, Engine(torch.device("cpu"), 1 << 30)).train(these, watch)
    assert len(watch.done) == len(these), "nobody is forgotten"
    return watch


def test_a_neighbour_with_an_average_leaves_the_signs_of_zeros() -> None:
    """Weights too small for the precision are zeros with a sign."""
    tiny: dict[str, Value] = {"units": "glu", "optimizer": "rmsprop", "init_gain": 1e-300, "batch_size": 3, "epochs": 1}
    raw = {"data": {"task": "classification"}}
    alone = train(raw, members([tiny])).done[0, 0][1]
    assert alone is not None
    assert any(np.signbit(a[a == 0]).any() for layer in alone for a in layer.values())
    assert flat(train(raw, members([tiny, tiny | {"ema_decay": 0.5}])).done[0, 0][1]) == flat(alone)


def test_the_least_eps_guards_the_numbers_that_fill_up_a_layer() -> None:
    """What is 0 stays 0 under it; else clipping meets a NaN there, until a neighbour ends and the pack is rebuilt."""
    guarded: dict[str, Value] = {"hidden": [], "optimizer": "adagrad", "lr": 1.0, "eps": LEAST_EPS, "l1": 1.0,
                                 "clip_norm": 1.0, "batch_size": 2, "epochs": 2}  # fmt: skip
    diverges = guarded | {"optimizer": "sgd", "clip_norm": 0.0}
    raw = {"data": {"task": "regression"}}
    together, alone = train(raw, members([guarded, diverges])), train(raw, members([guarded]))
    assert together.done[1, 0][0].progress.end is End.DIVERGED
    assert all(flat(together.done[key][1]) == flat(weights) for key, (_, weights) in alone.done.items())
    assert not REGISTRY["eps"].allows(LEAST_EPS / 10)


FLOATS = [row for row in REGISTRY.values() if row.kind is Kind.FLOAT]


@pytest.mark.parametrize("row", FLOATS, ids=lambda row: row.name)
@pytest.mark.parametrize("task", sorted(SOURCES))
def test_values_at_the_edge_of_floating_point_never_raise(row: Hyperparameter, task: str) -> None:
    """They end as diverged trials at worst, and a sane neighbour is not touched."""
    wild = [v for v in (5e-324, 1e-300, 1e-45, 1 - 2**-53, 1e38, 1e300, 1.7e308, -1e300) if row.allows(v)]
    sane: dict[str, Value] = {"epochs": 2, "batch_size": 16, "width": 8}
    raw = {"data": {"task": task}}
    everywhere = {"norm": "batch", "optimizer": "adamw", "weight_decay": 0.1, "clip_norm": 1.0, "ema_decay": 0.5}
    trials = [sane, *({**sane, **extra, row.name: v} for v in wild for extra in variants(row.name, task, everywhere))]
    together = train(raw, members(trials))
    alone = train(raw, members(trials[:1]))
    assert all(m.progress.end in (End.EPOCHS, End.DIVERGED) for m, _ in together.done.values())
    assert flat(together.done[0, 0][1]) == flat(alone.done[0, 0][1])


def variants(name: str, task: str, everywhere: dict[str, Value]) -> list[dict[str, Value]]:
    """What makes a value matter: every update rule, and every loss."""
    names = ("nesterov", "rmsprop", "adam", "adagrad", "muon", "lbfgs")
    rules: list[dict[str, Value]] = [{"optimizer": name} for name in names]
    losses: list[dict[str, Value]] = [{"loss": loss} for loss in LOSSES_OF_TASK[task]]
    return [
        v
        for v in (everywhere, *rules, *losses, {"schedule": "one_cycle"}, {"on_divergence": "restart"})
        if name not in v
    ]
