"""The noise is uniform, fresh at every step, and knows nothing of padding."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from foldstep.models.noise import counters, dropout_noise
from foldstep.models.streams import RESOLUTION, Stream, threshold

CPU = torch.device("cpu")


def noise(
    stream: Stream, layer: int = 0, epoch: int = 1, step: int = 0, units: int = 64, columns: int = 64
) -> np.ndarray:
    keys = torch.from_numpy(stream.dropout_keys(layer, epoch, step + 1)[step].copy())
    drawn = dropout_noise(counters(units, columns, CPU), keys[0].view(1, 1, 1), keys[1].view(1, 1, 1))
    return drawn[0].numpy()


def test_noise_is_uniform() -> None:
    # 40 independent tests at 1e-4 each: a right generator fails one time in 250
    for fold in range(10):
        for layer in range(4):
            u = noise(Stream(3, fold, 32), layer).ravel() / RESOLUTION
            assert stats.kstest(u, "uniform").pvalue > 1e-4
            assert u.min() >= 0
            assert u.max() < 1


def test_steps_layers_epochs_folds_and_seeds_are_uncorrelated() -> None:
    base = noise(Stream(3, 0, 32)).ravel()
    others = [
        noise(Stream(3, 0, 32), step=1),
        noise(Stream(3, 0, 32), layer=1),
        noise(Stream(3, 0, 32), epoch=2),
        noise(Stream(3, 1, 32)),
        noise(Stream(4, 0, 32)),
        noise(Stream(3, 0, 64)),
    ]
    for other in others:
        # standard deviation of a correlation of 4096 pairs is 1/64; five of them fail one time in 300,000
        assert abs(np.corrcoef(base, other.ravel())[0, 1]) < 5 / 64
    neighbours = noise(Stream(3, 0, 32))
    assert abs(np.corrcoef(neighbours[:, :-1].ravel(), neighbours[:, 1:].ravel())[0, 1]) < 5 / 64
    assert abs(np.corrcoef(neighbours[:-1].ravel(), neighbours[1:].ravel())[0, 1]) < 5 / 64


def test_padding_a_layer_leaves_its_units_their_noise() -> None:
    stream = Stream(1, 2, 16)
    np.testing.assert_array_equal(noise(stream, units=16), noise(stream, units=160)[:16])


def test_an_epoch_has_the_same_noise_however_many_steps_are_asked_for() -> None:
    stream = Stream(1, 2, 16)
    np.testing.assert_array_equal(stream.dropout_keys(0, 1, 3), stream.dropout_keys(0, 1, 8)[:3])


def test_the_share_of_dropped_units_is_the_rate() -> None:
    u = np.stack([noise(Stream(0, f, 8), units=128, columns=128) for f in range(16)])
    for rate in (0.0, 0.1, 0.5, 0.9):
        dropped = (u < threshold(rate)).mean()
        assert abs(dropped - rate) <= 5 * np.sqrt(rate * (1 - rate) / u.size)


def test_order_is_a_permutation_that_depends_on_all_of_its_name() -> None:
    orders = [
        Stream(0, 0, 8).order(50, 1),
        Stream(1, 0, 8).order(50, 1),
        Stream(0, 1, 8).order(50, 1),
        Stream(0, 0, 9).order(50, 1),
        Stream(0, 0, 8).order(50, 2),
    ]
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert len({tuple(o) for o in orders}) == len(orders)
    np.testing.assert_array_equal(orders[0], Stream(0, 0, 8).order(50, 1))
