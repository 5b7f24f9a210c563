"""The table of hyperparameters, and what `resolve` makes of a trial."""

from __future__ import annotations

import pytest

from foldstep.models.catalog.hyperparameters import REGISTRY, lookup
from foldstep.models.catalog.kinds import Kind
from foldstep.models.catalog.units import UNITS
from foldstep.models.hyperparameters import resolve
from tests.models.fnn import FNN


def test_defaults() -> None:
    hp = resolve({}, seed=11)
    assert (hp.hidden, hp.activation, hp.dropout) == ((64, 64), ("relu", "relu"), (0.0, 0.0))
    assert (hp.optimizer, hp.lr, hp.momentum, hp.seed) == ("adam", 1e-3, 0.0, 11)


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("momentum", 0.9), ("nesterov", 0.9)])
def test_momentum_depends_on_the_optimizer(optimizer: str, momentum: float) -> None:
    assert resolve({"optimizer": optimizer}).momentum == momentum
    assert resolve({"optimizer": optimizer, "momentum": 0.3}).momentum == 0.3


def test_a_layers_own_form_goes_before_the_plain_one() -> None:
    hp = resolve({"depth": 3, "width": 10, "width_2": 20, "dropout": 0.1, "dropout_3": 0.5, "activation_1": "tanh"})
    assert hp.hidden == (10, 20, 10)
    assert hp.dropout == (0.1, 0.1, 0.5)
    assert hp.activation == ("tanh", "relu", "relu")
    assert resolve({"hidden": [5, 6], "width_2": 7}).hidden == (5, 7)


def test_layers_beyond_the_depth_have_no_effect() -> None:
    assert resolve({"depth": 1, "width_4": 9, "dropout_2": 0.5}) == resolve({"depth": 1})


@pytest.mark.parametrize("name", ["", "widht", "width_0", "width_01", "width_65", "lr_1", "width_x", "_1"])
def test_unknown_names(name: str) -> None:
    assert lookup(name) is None
    with pytest.raises(ValueError, match="unknown hyperparameter"):
        resolve({name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", 0), ("lr", float("nan")), ("lr", float("inf")), ("lr", True), ("lr", "0.1"), ("dropout", 1.0),
        ("dropout", -0.1), ("width", 0), ("width", 1.5), ("momentum", 1.0), ("hidden", [0]), ("hidden", [1.5]),
        ("hidden", 64), ("optimizer", "adamm"), ("epochs", 0), ("batch_size", 0), ("seed", -1), ("seed", 2**63),
    ],
)  # fmt: skip
def test_values_outside_the_domain(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        resolve({name: value})  # type: ignore[dict-item]


def test_every_default_is_in_its_domain_and_every_row_says_what_it_means() -> None:
    for row in REGISTRY.values():
        assert row.default is None or row.allows(row.default)
        assert row.meaning
        assert row.domain
        assert (row.kind is Kind.CHOICE) == bool(row.choices)


def test_the_number_of_parameters() -> None:
    assert resolve({"hidden": [5, 4]}).n_parameters(3, 2) == (3 + 1) * 5 + (5 + 1) * 4 + (4 + 1) * 2


@pytest.mark.parametrize("trained", ["none", "unit"])
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_the_number_of_parameters_is_that_of_the_network(norm: str, units: str, trained: str) -> None:
    hp = resolve({"hidden": [5, 4], "norm": norm, "units": units, "activation_trained": trained})
    assert hp.n_parameters(3, 2) == sum(p.numel() for p in FNN(hp, 3, 2).parameters())
