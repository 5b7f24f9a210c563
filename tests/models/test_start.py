"""The numbers that a network starts with, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.start import MAX_ROWS, starting_layers

ROWS = np.random.default_rng(0).normal(2, 3, size=(500, 6)).astype(np.float32)
SIZES = (6, 40, 40, 2)


def start_of(rows: np.ndarray | None = ROWS, **more: object) -> list[dict[str, np.ndarray]]:
    return starting_layers(network(**more), SIZES, rows)


def network(**more: object) -> Hyperparameters:
    return resolve({"hidden": [40, 40], "activation": "tanh", "seed": 3, **more})  # type: ignore[dict-item]


def products(layers: list[dict[str, np.ndarray]], rows: np.ndarray) -> list[np.ndarray]:
    """Each layer's products for all rows, (rows, units)."""
    x, found = rows.astype(np.float64), []
    for layer in layers:
        found.append(x @ layer["weight"].T)
        x = np.tanh(found[-1] + layer["bias"])
    return found


@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_data_normal_makes_all_products_of_one_deviation(gain: float) -> None:
    for values in products(start_of(init="data_normal", init_gain=gain), ROWS):
        np.testing.assert_allclose(values.std(axis=0), gain, rtol=1e-9)


def test_an_input_without_any_spread_keeps_its_draws_finite() -> None:
    layers = start_of(np.zeros((20, 6), np.float32), init="data_normal", bias_init_mode="data")
    assert all(np.isfinite(values).all() for layer in layers for values in layer.values())


def test_biases_from_data_put_the_kinks_among_the_rows() -> None:
    layers = start_of(bias_init_mode="data")
    for layer, values in zip(layers, products(layers, ROWS), strict=True):
        kinks = -layer["bias"]
        assert ((values.min(axis=0) < kinks) & (kinks < values.max(axis=0))).all()
        assert len(np.unique(kinks)) == len(kinks)
    means = products(layers, ROWS)[0].mean(axis=0)
    assert np.corrcoef(-layers[0]["bias"], means)[0, 1] > 0.7  # a mean of five rows is near that of all


def test_ntk_starts_as_the_same_network() -> None:
    standard, ntk = start_of(), start_of(parametrization="ntk")
    for one, other, n in zip(standard, ntk, SIZES, strict=False):
        np.testing.assert_allclose(other["weight"] / n**0.5, one["weight"], rtol=1e-12)


@pytest.mark.parametrize(("mode", "deviation"), [("normal", 1.0), ("uniform", 1 / 40**0.5 / 3**0.5)])
def test_drawn_biases(mode: str, deviation: float) -> None:
    biases = starting_layers(network(bias_init_mode=mode, bias_init=0.5), (6, 40, 4000, 2), None)[1]["bias"]
    assert biases.mean() == pytest.approx(0.5, abs=5 * deviation / 4000**0.5)  # fails one time in a million
    assert biases.std() == pytest.approx(deviation, rel=0.06)


def test_a_zero_output_layer() -> None:
    *hidden, output = start_of(output_init="zero", bias_init=0.1, init="data_normal")
    assert not any(values.any() for values in output.values())
    assert all(layer["weight"].any() for layer in hidden)


def test_many_rows_are_thinned_out() -> None:
    many = np.repeat(ROWS, 5, axis=0)
    thinned = many[np.linspace(0, len(many) - 1, MAX_ROWS).astype(int)]
    for one, other in zip(start_of(many, init="data_normal"), start_of(thinned, init="data_normal"), strict=True):
        np.testing.assert_array_equal(one["weight"], other["weight"])


def test_both_maps_of_gated_units_start_from_the_rows() -> None:
    layers = start_of(units="glu", init="data_normal", bias_init_mode="data", activation="sigmoid")
    x = ROWS.astype(np.float64)
    for layer in layers[:-1]:
        z, w = x @ layer["weight"].T, x @ layer["second_weight"].T
        np.testing.assert_allclose([z.std(axis=0), w.std(axis=0)], 1.0, rtol=1e-9)
        assert abs(np.corrcoef(layer["weight"].ravel(), layer["second_weight"].ravel())[0, 1]) < 0.3, "draws of its own"
        assert ((w.min(axis=0) < -layer["second_bias"]) & (-layer["second_bias"] < w.max(axis=0))).all()
        x = (w + layer["second_bias"]) / (1 + np.exp(-z - layer["bias"]))
    np.testing.assert_allclose((x @ layers[-1]["weight"].T).std(axis=0), 1.0, rtol=1e-9)


@pytest.mark.parametrize("init", ["he_uniform", "he_normal"])
@pytest.mark.parametrize(("units", "variances"), [("plain", (2, None)), ("glu", (2, 1)), ("maxout", (1, 1))])
def test_a_map_without_an_activation_is_drawn_with_the_variance_of_lecun(
    init: str, units: str, variances: tuple[float, float | None]
) -> None:
    layer, *_, output = starting_layers(network(init=init, units=units), (400, 300, 300, 200), None)
    found = [400 * layer[name].var() for name in ("weight", "second_weight") if name in layer]
    assert found == pytest.approx([v for v in variances if v is not None], rel=0.05)
    assert 300 * output["weight"].var() == pytest.approx(2, rel=0.05), "the output layer is drawn as ever"


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_gated_units_do_not_raise_the_variance_from_layer_to_layer(activation: str) -> None:
    """With He's variance for both maps it was 281 after three layers, with silu 116."""
    x = np.random.default_rng(0).normal(size=(500, 256))
    for layer in starting_layers(network(units="glu", init="he_normal", hidden=[256] * 3), (256,) * 5, None)[:-1]:
        z, w = x @ layer["weight"].T, x @ layer["second_weight"].T
        x = w * (np.maximum(z, 0) if activation == "relu" else z / (1 + np.exp(-z)))
    assert 0.2 < x.var() < 3


def test_without_rows_nothing_can_be_fitted() -> None:
    with pytest.raises(ValueError, match="expected rows to fit the start"):
        start_of(None, init="data_normal")
