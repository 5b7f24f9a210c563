"""Input stages in packs: numbers that are missing, columns of few values, and members with and without a stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from foldstep.models.catalog.hyperparameters import NUMBER_EMBEDDINGS
from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, NumberColumn
from foldstep.service.contract.spec import CvSpec
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.models.fnn import FNN
from tests.oracle.single import train_single
from tests.worker.train.data import problem
from tests.worker.train.test_packed import bits, members
from tests.worker.train.watch import Watch

BOTH = pytest.mark.parametrize("may_compile", [True, False], ids=["compiled", "eager"])


def holes() -> FoldSource:
    """Ninety rows: five numbers, two of them with holes, one of few values; and two columns of categories."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=(90, 5))
    y = np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * generator.normal(size=90)
    x[:, 3] = np.round(x[:, 3])
    x[generator.random(90) < 0.2, 0] = np.nan
    x[generator.random(90) < 0.2, 3] = np.nan
    columns: dict[str, ColumnValues] = {f"x{i}": NumberColumn(column) for i, column in enumerate(x.T)}
    for name, n in (("many", 12), ("few", 3)):
        codes = generator.integers(-1, n, 90).astype(np.int32)
        y += 0.3 * codes
        columns[name] = CategoryColumn(codes, tuple(f"label {i}" for i in range(n)))
    return FoldSource(Table({**columns, "target": NumberColumn(y)}), problem("regression", CvSpec(folds=3)))


SOURCE = holes()
MIX: list[dict[str, Any]] = [
    {"hidden": hidden, "lr": 0.01, "batch_size": 23, "seed": 1, "activation": "tanh", "number_embedding": kind,
     "embedding_sigma": 0.3, "embedding_frequencies": 5, "embedding_bins": 6, "embedding_shared": shared,
     "input_scale": "trained" if shared == "none" else "none", "missing_value": "trained", "input_dropout": dropped,
     "max_one_hot": 3, "category_min_count": 3, "category_embedding_size": size}
    for kind in NUMBER_EMBEDDINGS
    for shared, hidden, dropped, size in (("none", [16, 8], 0.0, 0), ("all", [], 0.3, 2))
]  # fmt: skip


def train(these: list[Member], dtype: torch.dtype, *, may_compile: bool) -> Watch:
    watch = Watch()
    Training(SOURCE, "rmse", Engine(torch.device("cpu"), 1 << 30, dtype, may_compile)).train(these, watch)
    return watch


@BOTH
def test_missing_numbers_are_trained_as_in_stock_pytorch(may_compile: bool) -> None:
    watch = train(members(MIX, epochs=10, folds=1), torch.float64, may_compile=may_compile)
    for member, weights in watch.done.values():
        data = SOURCE.fold(member.fold, member.hp.preparation)
        alone = train_single(member.hp, member.fold, data, "rmse")
        assert member.progress.train_loss == pytest.approx(alone.train_loss, rel=1e-5)
        assert member.progress.scores == pytest.approx(alone.scores, rel=1e-5)
        assert weights is not None
        assert np.abs(weights[0]["missing"]).min() > 1e-3
        assert len(weights[0]["category"]) % data.columns.codes[0] == 0


@BOTH
def test_bits_do_not_depend_on_neighbours_without_a_stage(may_compile: bool) -> None:
    mix = [*MIX, {"hidden": [16, 8], "batch_size": 23, "seed": 1}]
    together = train(members(mix, epochs=3, folds=2), torch.float32, may_compile=may_compile)
    for trial in range(len(mix)):
        alone = train([m for m in members(mix, epochs=3, folds=2) if m.trial == trial], torch.float32,
                      may_compile=may_compile)  # fmt: skip
        assert all(bits(alone, key) == bits(together, key) for key in alone.done)


def test_a_training_that_pauses_goes_on_with_the_same_bits() -> None:
    whole = train(members(MIX, epochs=4, folds=1), torch.float32, may_compile=True)
    halves = members(MIX, epochs=4, folds=1)
    for member in halves:
        member.until = 2
    train(halves, torch.float32, may_compile=True)
    for member in halves:
        member.until = None
    resumed = train(halves, torch.float32, may_compile=True)
    assert all(bits(resumed, key) == bits(whole, key) for key in whole.done)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"number_embedding": "plr", "units": "glu"},
        {"number_embedding": "piecewise", "embedding_min_values": 12, "embedding_shared": "all"},
        {"number_embedding": "pbld", "max_one_hot": 2, "input_scale": "trained", "norm": "batch"},
        {"missing_value": "trained", "max_one_hot": 2, "category_embedding_size": 5, "activation_trained": "unit"},
    ],
)
def test_the_number_of_parameters_has_the_input_stage(more: dict[str, Any]) -> None:
    hp = resolve({"hidden": [8, 5], "max_one_hot": 0, **more})
    data = SOURCE.fold(0, hp.preparation)
    net = FNN(hp, data.n_inputs, data.n_outputs, stage=data.stage(hp))
    assert data.n_parameters(hp) == sum(p.numel() for p in net.parameters())


@BOTH
def test_each_fold_tells_the_size_of_its_own_network(may_compile: bool) -> None:
    these = members([{"hidden": [8], "batch_size": 23, "max_one_hot": 2, "category_min_count": 1}], epochs=1)
    watch = train(these, torch.float32, may_compile=may_compile)
    for member, weights in watch.done.values():
        assert weights is not None
        sizes = {name: values.size for layer in weights for name, values in layer.items()}
        assert member.n_parameters == sum(values.size for layer in weights for values in layer.values()), sizes
