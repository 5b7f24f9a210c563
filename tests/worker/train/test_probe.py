"""The probe reads what is there, counts no padding, and changes no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from benchmarks.diagnostics import Blind
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.weights import Weights
from foldstep.service.contract.diagnostics import Reading, rounded
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.probe import Probe, is_probed
from foldstep.worker.train.stopping import Progress
from tests.models.fnn import FNN
from tests.worker.train.data import source
from tests.worker.train.test_packed import METRIC, SOURCES, bits, members, scenes
from tests.worker.train.watch import Watch

CPU = torch.device("cpu")


def train(name: str, these: list[Member], probing: Any = Probe, dtype: torch.dtype = torch.float32) -> Watch:
    watch = Watch()
    Training(SOURCES[name], METRIC[name], Engine(CPU, 1 << 30, dtype), probing).train(these, watch)
    return watch


class Eager(Probe):
    """Looks after every epoch."""

    def begin(self, epoch: int) -> None:
        super().begin(epoch)
        self.turn_on()


@settings(max_examples=8)
@given(scene=scenes())
def test_looking_changes_no_bit(scene: tuple[str, list[dict[str, Any]]]) -> None:
    name, mix = scene
    blind, eager = (train(name, members(mix, epochs=4), probing) for probing in (Blind, Eager))
    for key in blind.done:
        assert bits(blind, key) == bits(eager, key)


@settings(max_examples=6)
@given(scene=scenes())
def test_readings_do_not_depend_on_the_company(scene: tuple[str, list[dict[str, Any]]]) -> None:
    name, mix = scene
    # in double precision sums over padded axes agree in all the digits that travel, but for a last one here and there
    together = train(name, members(mix, epochs=8), dtype=torch.float64)
    for member in members(mix, epochs=8)[::2]:
        alone = train(name, [member], dtype=torch.float64)
        ours, theirs = alone.done[member.key][0].progress, together.done[member.key][0].progress
        assert [len(p) for p in ours.probes] == [len(p) for p in theirs.probes]
        assert_close([ours.valid_loss, *ours.probes], [theirs.valid_loss, *theirs.probes])


def assert_close(a: list[list[float | None]], b: list[list[float | None]]) -> None:
    for one, other in zip(a, b, strict=True):
        assert [v is None for v in one] == [v is None for v in other]
        known = [(x, y) for x, y in zip(one, other, strict=True) if x is not None and y is not None]
        np.testing.assert_allclose(*zip(*known, strict=True), rtol=1.1e-3, atol=1e-9)


HP: dict[str, dict[str, Any]] = {
    "relu": {"hidden": [5, 7], "activation": "relu"},
    "tanh": {"hidden": [6], "activation": "tanh", "init_gain": 4.0},
    "sigmoid": {"hidden": [3], "activation": "sigmoid", "init_gain": 8.0},
    "elu": {"hidden": [9, 4], "activation": "elu", "init_gain": 3.0},
    "relu6": {"hidden": [20], "activation": "relu6", "init_gain": 9.0},
    "selu": {"hidden": [9, 4], "activation": "selu", "init_gain": 3.0},
    "linear": {"hidden": []},
}
FLAT = {
    "tanh": lambda a: 1 - a**2 < 0.05,
    "sigmoid": lambda a: 4 * a * (1 - a) < 0.05,
    "elu": lambda a: np.where(a < 0, a + 1, 1) < 0.05,
    "relu6": lambda a: a == 6,
    "selu": lambda a: np.where(a < 0, a / 1.7580993408473766 + 1, 1) < 0.05,
}


@pytest.mark.parametrize("name", ["wine", "counts"])
def test_a_reading_is_what_stock_pytorch_sees(name: str) -> None:
    # full batches of one step an epoch, so that the last step of the epoch begins at the weights of the one before
    configurations = [resolve({**hp, "batch_size": 60, "lr": 0.02, "epochs": 32, "seed": 4}) for hp in HP.values()]
    these = [Member(trial, fold, hp) for trial, hp in enumerate(configurations) for fold in range(2)]
    watch = train(name, these, Recording, dtype=torch.float64)
    for member, _ in watch.done.values():
        before, after = Recording.weights[member.key][-2:]
        data = SOURCES[name].fold(member.fold, member.hp.preparation)
        (numbers,) = member.progress.probes
        assert_is_reading(Reading.of(numbers), member.hp, data, before, after)


class Recording(Probe):
    """Keeps every member's weights after each epoch."""

    weights: dict[tuple[int, int], list[Weights]]

    def validated(self, losses: torch.Tensor) -> None:
        super().validated(losses)
        for i, member in enumerate(self.members):
            taken = self.net.parameters.take(self.net.layout, i)
            self.weights.setdefault(member.key, []).append(taken)


Recording.weights = {}


def test_the_validation_loss_of_every_epoch_is_stock_pytorchs() -> None:
    weighted = {**HP["tanh"], "class_weight": "balanced"}
    configurations = [resolve({**hp, "batch_size": 16, "lr": 0.02, "epochs": 4}) for hp in (HP["relu"], weighted)]
    these = [Member(trial, 0, hp) for trial, hp in enumerate(configurations)]
    watch = train("wine", these, Recording, dtype=torch.float64)
    for member, _ in watch.done.values():
        data = SOURCES["wine"].fold(0, member.hp.preparation)
        weights = data.target.class_weights(member.hp.class_weight, data.y_train)
        loss_of = nn.CrossEntropyLoss(None if weights is None else torch.from_numpy(weights))
        x, y = torch.from_numpy(data.x_valid.copy()).double(), torch.from_numpy(data.y_valid.copy())
        nets = [network(member.hp, data, taken) for taken in Recording.weights[member.key][-4:]]
        assert_near(member.progress.valid_loss, [loss_of(net(x), y).item() for net in nets])


def assert_is_reading(reading: Reading, hp: Hyperparameters, data: FoldData, before: Weights, after: Weights) -> None:
    x, y = torch.from_numpy(data.x_train.copy()).double(), torch.from_numpy(data.y_train.copy())
    is_class = data.target.classes is not None
    loss_of = nn.CrossEntropyLoss() if is_class else nn.MSELoss()
    truth = y if is_class else y.double().unsqueeze(1)
    net = network(hp, data, before)
    loss_of(net(x), truth).backward()
    norm = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).norm().item()
    net = network(hp, data, after)
    outputs, activations = net(x), seen(net, x)
    known = float(np.mean(y.numpy() == outputs.argmax(1).numpy())) if is_class else None
    shares = torch.bincount(y).double() / len(y) if is_class else None
    chance = -(shares * shares.log()).sum().item() if shares is not None else truth.square().mean().item()
    ratios = [
        np.linalg.norm(b["weight"] - a["weight"]) / np.linalg.norm(a["weight"])
        for a, b in zip(before, after, strict=True)
    ]
    assert_near(
        [reading.epoch, reading.gradient_norm, reading.train_loss], [hp.epochs, norm, loss_of(outputs, truth).item()]
    )
    assert_near([reading.chance_loss], [chance])
    assert_near([layer.update_ratio for layer in reading.layers], ratios)
    if known is not None and METRIC["wine"] == "accuracy":
        assert_near([reading.train_score], [known])
    for layer, a, kind in zip(reading.layers, activations, hp.activation, strict=False):
        dead = float((a == 0).all(0).mean()) if kind in ("relu", "relu6") else None
        saturated = float(FLAT[kind](a).mean()) if kind in FLAT else None
        assert_near([layer.mean, layer.spread, layer.saturated, layer.dead], [a.mean(), a.std(), saturated, dead])


def network(hp: Hyperparameters, data: FoldData, weights: Weights) -> FNN:
    net = FNN(hp, data.n_inputs, data.n_outputs, torch.float64)
    net.load(weights)
    return net


def seen(net: FNN, x: torch.Tensor) -> list[np.ndarray]:
    """Activations of the hidden layers, (rows, units)."""
    found: list[np.ndarray] = []
    with torch.no_grad():
        for i, linear in enumerate(net.linears[:-1]):
            x = net.activations[i](linear(x))
            found.append(x.numpy())
    return found


def assert_near(got: list[float | None], expected: list[Any]) -> None:
    for one, other in zip(got, expected, strict=True):
        assert (one is None) == (other is None), (got, expected)
        if one is not None:
            assert one == pytest.approx(rounded(float(other)), rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("n_rows", [8, 32, 128, 1024])
def test_probes_cost_little_and_have_the_last_epoch(n_rows: int) -> None:
    cost = 0.5 + 80 / n_rows  # of one, in steps
    for n_steps in (1, 3, 12, 45, 1000):
        for epochs in (1, 2, 5, 30, 300):
            probed = [e for e in range(1, epochs + 1) if is_probed(e, epochs, n_steps, n_rows)]
            assert (epochs in probed) == (epochs * n_steps >= 16 * cost)
            assert (len(probed) - 1) * cost <= epochs * n_steps / 40


def test_a_history_of_before_goes_on() -> None:
    old = {
        k: v
        for k, v in Progress(train_loss=[0.9, 0.8], scores=[0.5, 0.6]).to_json().items()
        if k not in ("valid_loss", "probes")
    }
    progress = Progress.from_json(old)
    assert (progress.valid_loss, progress.probes) == ([None, None], [])
    assert Progress.from_json(progress.to_json()) == progress


def test_a_member_that_moves_keeps_what_was_seen() -> None:
    fold_source = source("wine")
    hp = resolve({"hidden": [8], "batch_size": 16, "epochs": 300, "seed": 1})
    whole, moved = Member(0, 0, hp), Member(0, 0, hp)
    training = Training(fold_source, "accuracy", Engine(CPU, 1 << 30))
    training.train([whole], Watch())
    training.train([moved], Watch(leave_after=7))
    again = Member(0, 0, hp, Progress.from_json(moved.progress.to_json()), moved.snapshot)
    training.train([again], Watch())
    assert again.progress.valid_loss == whole.progress.valid_loss
    assert again.progress.probes == whole.progress.probes
    assert len(whole.progress.valid_loss) == 300
    assert [p[0] for p in whole.progress.probes] == [1, 55, 300]
