"""The forward pass in NumPy against the network in PyTorch: every activation with every normalisation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.units import UNITS
from foldstep.models.fnn import PIECE_ROWS, forward, softmax
from foldstep.models.hyperparameters import resolve
from foldstep.models.weights import Weights
from tests.models.fnn import FNN

N_INPUTS, N_OUTPUTS = 5, 3


def network(activation: str, norm: str, **more: str) -> tuple[Weights, FNN]:
    """A network of random numbers, as weights and in PyTorch."""
    hp = resolve({"hidden": [16, 16], "activation": activation, "norm": norm, **more}, seed=1)
    net = FNN(hp, N_INPUTS, N_OUTPUTS)
    generator = np.random.default_rng(2)
    sizes = (N_INPUTS, *hp.hidden, N_OUTPUTS)
    weights = []
    for i in range(3):
        layer = {"weight": generator.normal(size=(sizes[i + 1], sizes[i]))}
        if hp.has_bias(i):
            layer["bias"] = generator.normal(size=sizes[i + 1])
        if i < 2 and NORMS[norm].is_scaled:
            layer |= {"scale": generator.uniform(0.5, 2, sizes[i + 1]), "shift": generator.normal(size=sizes[i + 1])}
        if i < 2 and NORMS[norm].over_rows:
            layer["running_mean"] = generator.normal(size=sizes[i + 1])
            layer["running_var"] = generator.uniform(0.1, 3, sizes[i + 1])
        if i < 2 and hp.has_second:
            layer["second_weight"] = generator.normal(size=(sizes[i + 1], sizes[i]))
            layer["second_bias"] = generator.normal(size=sizes[i + 1])
        if i < 2 and hp.trains_activation:
            layer["share"] = generator.uniform(0.5, 1.5, sizes[i + 1])
        weights.append({name: values.astype(np.float32) for name, values in layer.items()})
    net.load(weights)
    return weights, net


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("more", [{}, {"activation_trained": "unit", "parametrization": "ntk", "skip": "residual"}])
def test_the_forward_pass_is_that_of_pytorch(activation: str, norm: str, units: str, more: dict[str, str]) -> None:
    more = {**more, "units": units}
    weights, net = network(activation, norm, **more)
    x = 3 * np.random.default_rng(3).normal(size=(200, N_INPUTS)).astype(np.float32)
    hp = resolve({"hidden": [16, 16], "activation": activation, "norm": norm, **more}, seed=1)
    outputs = forward(hp, weights, x)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    assert outputs.dtype == np.float32
    # every sum has at most 16 terms; its rounding is a few of float32's units of the greatest output
    assert np.abs(outputs - expected).max() <= 64 * np.finfo(np.float32).eps * np.abs(expected).max()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_great_inputs_warn_of_nothing(activation: str) -> None:
    weights, net = network(activation, "none")
    x = np.array([[3e38, -3e38, 0, 1e20, -1e20]], dtype=np.float32)
    outputs = forward(resolve({"hidden": [16, 16], "activation": activation}, seed=1), weights, x)
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    assert np.array_equal(np.isfinite(outputs), np.isfinite(expected))


def test_no_rows_have_no_outputs() -> None:
    weights, _ = network("relu", "layer")
    hp = resolve({"hidden": [16, 16], "activation": "relu", "norm": "layer"}, seed=1)
    assert forward(hp, weights, np.empty((0, N_INPUTS), np.float32)).shape == (0, N_OUTPUTS)


def test_softmax_of_great_logits_is_finite() -> None:
    assert softmax(np.array([[3e38, -3e38], [-800.0, -800.0]])).tolist() == [[1, 0], [0.5, 0.5]]


def test_a_row_has_the_same_bits_whatever_rows_are_beside_it() -> None:
    """As it has in any order, alone, and among more rows than go through the layers at once."""
    hp = resolve({"hidden": [64, 32], "activation": "silu"}, seed=3)
    rng = np.random.default_rng(5)
    sizes = [7, *hp.hidden, 3]
    weights = [
        {"weight": rng.normal(size=(b, a)).astype(np.float32), "bias": rng.normal(size=b).astype(np.float32)}
        for a, b in itertools.pairwise(sizes)
    ]
    x = rng.normal(size=(PIECE_ROWS + 37, 7)).astype(np.float32)
    together = forward(hp, weights, x)
    order = rng.permutation(len(x))
    np.testing.assert_array_equal(forward(hp, weights, x[order]), together[order])
    for row in (0, 5, PIECE_ROWS + 3):
        np.testing.assert_array_equal(forward(hp, weights, x[row : row + 1])[0], together[row])
