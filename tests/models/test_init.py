"""Initial weights have the variance and the shape that their papers give."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from foldstep.models.catalog.hyperparameters import INITS
from foldstep.models.init import initial_weights

FAN_IN, FAN_OUT = 200, 300
VARIANCE = {
    "uniform": 1 / (3 * FAN_IN),
    "lecun_uniform": 1 / FAN_IN,
    "lecun_normal": 1 / FAN_IN,
    "data_normal": 1 / FAN_IN,
    "glorot_uniform": 2 / (FAN_IN + FAN_OUT),
    "glorot_normal": 2 / (FAN_IN + FAN_OUT),
    "he_uniform": 2 / FAN_IN,
    "he_normal": 2 / FAN_IN,
}


def test_every_initialisation_is_covered() -> None:
    assert {*VARIANCE, "orthogonal"} == set(INITS)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (30, 30), (1, 8), (8, 1)])
def test_orthogonal(shape: tuple[int, int]) -> None:
    fan_in, fan_out = shape
    weights = initial_weights("orthogonal", 0, 0, fan_in, fan_out)
    assert weights.shape == (fan_out, fan_in)
    product = weights @ weights.T if fan_out <= fan_in else weights.T @ weights
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)


@pytest.mark.parametrize("name", VARIANCE)
def test_distribution(name: str) -> None:
    weights = initial_weights(name, 0, 0, FAN_IN, FAN_OUT)
    assert weights.shape == (FAN_OUT, FAN_IN)
    deviation = math.sqrt(VARIANCE[name])
    law = stats.norm(0, deviation) if name.endswith("normal") else stats.uniform(
        -math.sqrt(3) * deviation, 2 * math.sqrt(3) * deviation
    )  # fmt: skip
    assert stats.kstest(weights.ravel(), law.cdf).pvalue > 1e-4  # a right one fails one time in 10,000


def test_bounds_are_those_of_pytorch() -> None:
    # torch.nn.Linear's default: uniform within 1 / sqrt(fan_in)
    weights = initial_weights("uniform", 0, 0, FAN_IN, FAN_OUT)
    default = torch.nn.Linear(FAN_IN, FAN_OUT).weight.abs().max().item()
    assert abs(weights).max() == pytest.approx(1 / math.sqrt(FAN_IN), rel=1e-3)
    assert default == pytest.approx(1 / math.sqrt(FAN_IN), rel=1e-3)


def test_layers_and_seeds_draw_independently() -> None:
    base = initial_weights("he_normal", 0, 0, 64, 64).ravel()
    for seed, layer in ((1, 0), (0, 1)):
        other = initial_weights("he_normal", seed, layer, 64, 64).ravel()
        assert abs(np.corrcoef(base, other)[0, 1]) < 5 / 64
    np.testing.assert_array_equal(base, initial_weights("he_normal", 0, 0, 64, 64).ravel())
