"""Products whose factors are rounded to bfloat16: by AMX where this machine has it, and number by number anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.losses import LOSSES_OF_TASK
from foldstep.models.catalog.norms import NORMS
from foldstep.models.compiled.library import Library
from foldstep.models.eager import products
from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.steps.bf16 import multiplying_bf16
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

pytestmark = pytest.mark.usefixtures("library")
CPU = torch.device("cpu")
DATA = {"wine": source("wine"), "counts": source("diabetes", exposure=True), "labels": source("wine", labels=True)}
METRIC = {"wine": "log_loss", "counts": "mse", "labels": "log_loss"}
TASK = {"wine": "classification", "counts": "regression", "labels": "multilabel"}
SMALL, LARGE = 2e-4, 4e-4
"""Of the gradient: what is left of rounding when it is done alike, here and there; what rounding makes at least."""


@pytest.fixture(scope="module", params=["native", "portable"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """The library of this machine, and the one of a machine without AMX; both are to multiply bf16 factors."""
    with multiplying_bf16(tmp_path_factory.mktemp("portable"), portable=request.param == "portable") as made:
        yield made


class Rounding:
    """PyTorch, but products round their factors."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def addmm(self, start: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None:
        torch.addmm(start, rounded(left), rounded(right), out=out)

    def baddbmm(self, start: Tensor, left: Tensor, right: Tensor, out: Tensor) -> None:
        torch.baddbmm(start, rounded(left), rounded(right), out=out)

    def mm(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        torch.mm(rounded(left), rounded(right), out=out)

    def bmm(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        torch.bmm(rounded(left), rounded(right), out=out)


def rounded(numbers: Tensor) -> Tensor:
    return numbers.bfloat16().to(numbers.dtype)


def gradients(name: str, params: dict[str, Any], dtype: torch.dtype, *, may_compile: bool) -> np.ndarray:
    engine = Engine(CPU, 1 << 30, dtype, may_compile)
    member = Member(0, 0, resolve({"epochs": 1, "seed": 3, **params}))
    trainer = Training(DATA[name], METRIC[name], engine).trainer([member])
    trainer.probe(1)()
    return trainer.net.gradients.buffer.double().numpy()


def true_gradients(name: str, params: dict[str, Any], *, rounds: bool) -> np.ndarray:
    """In float64, operation by operation."""
    with pytest.MonkeyPatch.context() as patch:
        if rounds:
            patch.setattr(products, "torch", Rounding())
        return gradients(name, params, torch.float64, may_compile=False)


def distance(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def assert_rounds_its_factors(name: str, params: dict[str, Any]) -> None:
    found = gradients(name, params | {"precision": "bfloat16"}, torch.float32, may_compile=True)
    assert distance(found, true_gradients(name, params, rounds=True)) < SMALL
    assert distance(found, true_gradients(name, params, rounds=False)) > LARGE


networks = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.sampled_from([1, 8, 15, 16, 17, 33, 48, 70]), max_size=3),
        "batch_size": st.sampled_from([7, 16, 23, 40, 60]),
    },
    optional={
        "norm": st.sampled_from(list(NORMS)),
        "dropout": st.just(0.25),
        "input_dropout": st.just(0.2),
        "clip_norm": st.just(0.5),
        "seed": st.integers(0, 9),
    },
)


@given(name=st.sampled_from(["counts", "wine"]), params=networks)
def test_gradients_are_those_of_rounded_factors(name: str, params: dict[str, Any]) -> None:
    # without kinks, where a rounding more or less would turn a unit on
    assert_rounds_its_factors(name, {"activation": "tanh", **params})


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation: str) -> None:
    assert_rounds_its_factors("wine", {"hidden": [40, 24], "activation": activation, "batch_size": 50})


@pytest.mark.parametrize("loss", [loss for losses in LOSSES_OF_TASK.values() for loss in losses])
def test_every_loss(loss: str) -> None:
    name = next(n for n in DATA if loss in LOSSES_OF_TASK[TASK[n]])
    assert_rounds_its_factors(name, {"hidden": [24], "activation": "silu", "batch_size": 50, "loss": loss})


def test_layers_that_are_updated_in_parts() -> None:
    assert_rounds_its_factors("wine", {"hidden": [300, 310, 40], "activation": "tanh", "batch_size": 50})


@pytest.mark.parametrize("batch_size", [7, 23, 40, 60])
def test_every_step_is_fed_its_own_rows(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {
        "hidden": [16],
        "activation": "tanh",
        "batch_size": batch_size,
        "epochs": 4,
        "optimizer": "sgd",
        "lr": 0.1,
    }
    found = losses(params | {"precision": "bfloat16"}, torch.float32, may_compile=True)
    monkeypatch.setattr(products, "torch", Rounding())
    np.testing.assert_allclose(found, losses(params, torch.float64, may_compile=False), rtol=1e-4)


def losses(params: dict[str, Any], dtype: torch.dtype, *, may_compile: bool) -> list[float]:
    watch = Watch()
    member = Member(0, 0, resolve(params))
    Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30, dtype, may_compile)).train([member], watch)
    return watch.done[0, 0][0].progress.train_loss


@pytest.mark.parametrize("rows", [1, 31, 32, 50])
def test_pairs(library: Library, rows: int) -> None:
    numbers = torch.randn(3, rows, 16, generator=torch.Generator().manual_seed(0))
    found = library.pairs(numbers).view(torch.bfloat16)
    filled = torch.zeros(3, found.shape[1] * 2, 16, dtype=torch.bfloat16)
    filled[:, :rows] = numbers.bfloat16()
    assert found.shape[1] % 16 == 0
    assert torch.equal(found, torch.stack([filled[:, ::2], filled[:, 1::2]], dim=-1))


def test_rounding_is_to_the_nearest_and_to_the_even_one_of_two(library: Library) -> None:
    near = [1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 1 + 2**-8 - 2**-20, 3.4e38, -3.4e38, 3.39e38]
    special = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), -float("nan"), -1 - 2**-8, 2.0**-126]
    numbers = torch.tensor([near + special, special + near]).unsqueeze(0)
    numbers.view(torch.int32)[0, 1, :2] = torch.tensor([0x7FFFFFFF, -1])  # NaN that would overflow
    found = library.pairs(numbers)[0, 0].t().view(torch.bfloat16).float()
    np.testing.assert_array_equal(found.numpy(), numbers[0].bfloat16().float().numpy())
    assert np.signbit(found[0, 9].item())


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_nobody_else_is_rounded(precision: str) -> None:
    params = {"hidden": [40, 24], "activation": "tanh", "batch_size": 50}
    found = gradients("wine", params | {"precision": precision}, torch.float32, may_compile=True)
    assert distance(found, true_gradients("wine", params, rounds=False)) < 1e-6


def test_members_of_both_kinds_train_side_by_side() -> None:
    mix = [{"hidden": [40], "precision": p, "input_dropout": d} for p in ("float32", "bfloat16") for d in (0.0, 0.2)]
    together = weights_of(*mix)
    assert together == [weights_of(params, first=i)[0] for i, params in enumerate(mix)]
    assert together[0] != together[2]


def weights_of(*mix: dict[str, Any], first: int = 0) -> list[list[bytes]]:
    watch = Watch()
    these = [Member(first + i, 0, resolve({"epochs": 3, "batch_size": 23, **params})) for i, params in enumerate(mix)]
    Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30)).train(these, watch)
    return [[a.tobytes() for layer in watch.done[m.key][1] or () for a in layer.values()] for m in these]


def test_where_it_is_not_faster_nothing_is_rounded(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "has_tiles", False)
    assert weights_of({"hidden": [40], "precision": "bfloat16"}) == weights_of({"hidden": [40]})


def test_scores_are_those_of_the_weights_in_full() -> None:
    """What is rounded is training alone: what a user predicts with, and what was scored, is the same network."""
    scores = []
    for precision in ("float32", "bfloat16"):
        hp = resolve({"hidden": [40, 17], "precision": precision})
        trainer = Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30)).trainer([Member(0, 0, hp)])
        scores.append(trainer.evaluate().tolist())
    assert scores[0] == scores[1]


def test_not_a_number_is_never_hidden() -> None:
    hp = resolve({"hidden": [8], "precision": "bfloat16"})
    trainer = Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30)).trainer([Member(i, 0, hp) for i in range(2)])
    trainer.net.parameters.of(0, "weight")[0, 3, 2] = float("nan")
    assert trainer.probe(1)().isnan().tolist() == [True, False]
