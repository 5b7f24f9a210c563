"""Planted faults: each is caught by the check that is there for it, which says what to look at."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from foldstep.models.compiled import build
from foldstep.models.compiled.library import Library
from foldstep.models.eager import activations, hidden, optim
from foldstep.models.eager.losses import LOSSES
from foldstep.models.eager.normalization import Normalization
from foldstep.models.eager.optim import PackedOptimizer
from foldstep.worker.checks.gradients import gradients
from foldstep.worker.checks.initial_loss import initial_loss
from foldstep.worker.checks.labels import labels
from foldstep.worker.checks.overfit import overfit
from foldstep.worker.checks.regularisation import regularisation
from foldstep.worker.steps import compiled, engine
from tests.worker.checks.settings import WIDE, changed, made, setting

PENALISED = ("sgd", "rmsprop", "adam", "adamw")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """As a worker has it."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def eager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults are planted in the eager backend, but for those of `planted`."""
    if "planted" not in request.fixturenames:
        monkeypatch.setattr(engine, "is_compiled", lambda *_: False)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Build the compiled backend from a source with one text replaced, without optimisation, and train with it."""
    monkeypatch.setattr(build, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in build.FLAGS))

    def plant(file: str, right: str, wrong: str) -> None:
        sources = tmp_path / "source"
        shutil.copytree(build.SOURCES, sources)
        text = (sources / file).read_text()
        assert text.count(right) == 1
        (sources / file).write_text(text.replace(right, wrong))
        monkeypatch.setattr(build, "SOURCES", sources)
        faulty = Library(str(build.build(tmp_path)))
        monkeypatch.setattr(compiled, "library", lambda: faulty)

    return plant


# -- the compiled backend ---------------------------------------------------------------------------------------------


def test_a_wrong_gradient_in_the_compiled_step(planted: Callable[[str, str, str], None]) -> None:
    planted("activations.h", "return d * (T(1) - a * a);", "return d * (a * a - T(1));")
    found = gradients(setting("wine", activation=["tanh", "relu"]))
    assert found.outcome == "failed"
    assert "tanh" in str(found.look_at)
    assert "relu" not in str(found.look_at)


def test_weight_decay_with_the_wrong_sign_in_the_compiled_step(planted: Callable[[str, str, str], None]) -> None:
    planted("updates.h", "* clipped_to + parameter * l2;", "* clipped_to - parameter * l2;")
    found = regularisation(setting("breast_cancer", optimizer="adam"))
    assert found.outcome == "failed"


def test_a_wrong_delta_of_the_compiled_loss(planted: Callable[[str, str, str], None]) -> None:
    planted("losses.h", "*gradient = error * T(2);", "*gradient = error * T(2.002);")
    assert gradients(setting("diabetes", loss="mse")).outcome == "failed"


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [("batch", " - weight * normal * along_x) * inverse", ") * inverse"), ("layer", " - normal * along_x)", ")")],
)
def test_a_compiled_normalisation_that_forgets_a_term(
    kind: str, right: str, wrong: str, planted: Callable[[str, str, str], None]
) -> None:
    planted("normalization.h", right, wrong)
    found = gradients(setting("wine", norm=["none", "batch", "layer"], activation=["gelu", "relu"]))
    assert found.outcome == "failed"
    assert f"norm {kind}" in str(found.look_at)


# -- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(activations.ACTIVATIONS))
def test_a_wrong_sign_in_an_activations_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = activations.ACTIVATIONS[name]

    def backward(gradient: Tensor, at: Tensor) -> None:
        right.backward(gradient, at)
        gradient.neg_()

    faulty = {**activations.ACTIVATIONS, name: replace(right, backward=backward)}
    monkeypatch.setattr(hidden, "ACTIVATIONS", faulty)
    other = "tanh" if name != "tanh" else "gelu"
    found = gradients(setting("wine", activation=[other, name], norm=["none", "layer"], dropout=[0.0, 0.3]))
    assert found.outcome == "failed"
    assert name in str(found.look_at)
    assert other not in str(found.look_at)
    assert found.numbers["greatest_error"] == pytest.approx(2, abs=0.01), "a - (-a) over |a|"


@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_a_normalisation_that_forgets_a_term(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Normalization.backward

    def backward(self: Normalization, gradient: Tensor, weights: Tensor, scale: Tensor, *rest: Tensor) -> None:
        if self.over_rows != (kind == "batch"):
            return right(self, gradient, weights, scale, *rest)
        right(self, gradient.clone(), weights, scale, *rest)
        gradient.mul_(scale).mul_(self._inverse)  # as if mean and variance were constants
        return None

    monkeypatch.setattr(Normalization, "backward", backward)
    found = gradients(setting("wine", norm=["none", "batch", "layer"], activation=["gelu", "relu"]))
    assert found.outcome == "failed"
    assert f"norm {kind}" in str(found.look_at)


@pytest.mark.parametrize(
    ("data", "loss"), [("wine", "cross_entropy"), ("diabetes", "mse"), ("diabetes", "mae"), ("diabetes", "poisson")]
)
def test_a_wrong_delta_of_the_loss(data: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = LOSSES[loss]

    def faulty(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
        value = right(outputs, targets, weights, delta)
        delta.mul_(1.001)
        return value

    monkeypatch.setitem(LOSSES, loss, faulty)  # type: ignore[arg-type]
    found = gradients(setting(data, activation=["tanh", "relu"], loss=loss))
    assert found.outcome == "failed"
    assert found.numbers["greatest_error"] == pytest.approx(1e-3, rel=0.01)


def test_entries_at_a_kink_are_counted_and_not_judged() -> None:
    x = np.zeros(
        (60, 1)
    )  # constant, so scaled to 0: with no bias every unit of the first layer sits at the kink of relu
    x[:, 0] = 5.0
    found = gradients(setting(made(x, np.arange(60) % 2), activation="relu", depth=1, width=8, bias_init=0.0))
    assert found.numbers["kinks"] or found.outcome == "skipped"
    assert found.outcome != "failed"


# -- regularisation -------------------------------------------------------------------------------------------------


def turned(attributes: tuple[str, ...]) -> Callable[..., None]:
    """An `__init__` after which the penalties of a part of the optimizer have the wrong sign."""

    def turn(part: Any) -> None:
        for name in attributes:
            values = getattr(part, name)
            for tensor in values if isinstance(values, list) else [values]:
                tensor.neg_()

    return turn


@pytest.mark.parametrize("optimizer", PENALISED)
def test_weight_decay_with_the_wrong_sign(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, turned(("_decay",)), turned(("_l2", "_decoupled")))
    found = regularisation(setting("wine", optimizer=optimizer))
    assert found.outcome == "failed", found
    assert f"With {optimizer} and weight_decay" in found.sentence
    assert "l1" not in found.sentence


@pytest.mark.parametrize("optimizer", PENALISED)
def test_weight_decay_that_is_never_applied(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(part: Any) -> None:
        part._decays = part._shrinks = False

    plant(monkeypatch, forget, forget)
    assert regularisation(setting("digits", optimizer=optimizer)).outcome == "failed"


def plant(monkeypatch: pytest.MonkeyPatch, in_runs: Callable[[Any], None], in_groups: Callable[[Any], None]) -> None:
    init = PackedOptimizer.__init__

    def faulty(self: PackedOptimizer, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        for rule in self._rules:
            (in_groups if isinstance(rule, optim._AdamGroup) else in_runs)(rule)

    monkeypatch.setattr(PackedOptimizer, "__init__", faulty)


@pytest.mark.parametrize("optimizer", PENALISED)
def test_an_l1_penalty_with_the_wrong_sign(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def subtract(self: optim._L1) -> None:
        for parameters, values, l1 in self._rows:
            values.addcmul_(parameters.sign(), l1, value=-1)

    monkeypatch.setattr(optim._L1, "add", subtract)
    found = regularisation(setting("breast_cancer", optimizer=optimizer))
    assert found.outcome == "failed"
    assert "and l1" in found.sentence


# -- the spec and the data ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["wine", "digits", "diabetes"])
def test_a_zero_learning_rate(data: str) -> None:
    found = overfit(setting(data, lr=1e-30, activation=["relu", "tanh"]))
    assert found.outcome == "failed"
    assert str(found.look_at).startswith("Look at lr: it is so small")


@pytest.mark.parametrize(
    "schedule",
    [
        {"schedule": "exponential", "decay": 1e-6, "decay_epochs": 1},
        {"schedule": "inverse_time", "warmup_epochs": 10**6},
    ],
)
def test_a_schedule_that_gives_a_zero_rate(schedule: dict[str, Any]) -> None:
    found = overfit(setting("wine", lr=1e-4, **schedule))
    assert found.outcome == "failed"
    assert str(found.look_at).startswith("Look at schedule")


def test_rates_that_only_diverge() -> None:
    found = overfit(setting("wine", lr=1e30, optimizer="sgd", depth=3))
    assert found.outcome == "failed"
    assert "diverged" in found.sentence
    assert str(found.look_at).startswith("Look at lr: every network diverges")


def test_networks_that_are_too_small() -> None:
    found = overfit(setting("digits", width=1, depth=1, lr=1e-2))
    assert found.outcome == "failed"
    assert "width and depth" in str(found.look_at)


@pytest.mark.parametrize("size", [1e4, 1e5])
def test_unscaled_inputs(size: float) -> None:
    def enlarge(columns: dict[str, np.ndarray]) -> None:
        columns["x0"] *= size

    data = changed("breast_cancer", enlarge)
    found = initial_loss(setting(data, scaler="none", activation=["relu", "gelu"]))
    assert found.outcome == "failed"
    assert str(found.look_at).startswith("Look at scaler")
    assert initial_loss(setting(data, scaler="standard", activation=["relu", "gelu"])).outcome == "passed"


def test_first_weights_that_are_too_large_are_found_and_what_they_share_is_named() -> None:
    found = initial_loss(setting("wine", init_gain=[1.0, 20.0], activation=["relu", "elu"]))
    assert found.outcome == "failed"
    assert "init_gain" in str(found.look_at)
    assert "init_gain 20" in found.sentence


@pytest.mark.parametrize("data", ["wine", "digits", "breast_cancer"])
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_shuffled_against_their_rows(data: str, seed: int) -> None:
    def shuffle(columns: dict[str, np.ndarray]) -> None:
        np.random.default_rng(seed).shuffle(columns["target"])

    found = labels(setting(changed(data, shuffle), seed))
    assert found.outcome == "failed"
    assert "shuffled against their rows" in str(found.look_at)
    assert "say nothing about the target" in str(found.look_at)
    assert labels(setting(data, seed)).outcome == "passed"


def test_rows_that_contradict_each_other_do_not_count_against_the_networks() -> None:
    x = np.random.default_rng(0).normal(size=(40, 5)).repeat(2, axis=0)
    assert overfit(setting(made(x, np.arange(80) % 2))).outcome == "passed"
    assert overfit(setting(made(np.ones((80, 1)), np.arange(80) % 2))).outcome == "skipped"


def test_diverging_networks_are_said_and_nothing_is_thrown() -> None:
    space = {**WIDE, "lr": {"low": 1e25, "high": 1e30, "log": True}, "init_gain": 1e30, "scaler": "none"}
    assert initial_loss(setting("wine", **space)).outcome == "failed"
    assert overfit(setting("wine", **space)).outcome == "failed"
    assert "the loss is not finite" in initial_loss(setting("wine", **space)).sentence
    assert "no one beats a constant answer" in overfit(setting("wine", **space)).sentence
    assert regularisation(setting("wine", **space)).outcome == "skipped"
    assert labels(setting("wine", **space)).outcome == "skipped"
    assert gradients(setting("wine", **space)).outcome == "failed"
