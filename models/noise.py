"""All randomness of training, as pure functions of names: no generator carries state from step to step.

A stream is one data order and one noise source, named by (seed, fold, batch size). What a stream gives at a
step depends on its name and the step alone, so members that share a stream see the same batches and the same
noise, and neither the packing nor a resume can change them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# What a draw is for; part of every key, so that no two purposes ever share numbers.
_ORDER, _DROPOUT, _WEIGHTS = 1, 2, 3

_RESOLUTION_BITS = 24
RESOLUTION = 1 << _RESOLUTION_BITS
"""Dropout compares whole numbers below this with `threshold(rate)`: the same decision on every device."""


@dataclass(frozen=True, order=True)
class Stream:
    """The name of a data order and noise source."""

    seed: int
    fold: int
    batch_size: int

    def order(self, n_rows: int, epoch: int) -> np.ndarray:
        """The row order of an epoch, shape (n_rows,), int64."""
        return _generator(_ORDER, self.seed, self.fold, self.batch_size, epoch).permutation(n_rows)

    def dropout_keys(self, layer: int, epoch: int, n_steps: int) -> np.ndarray:
        """Multiplier (odd) and offset that seed the noise of one layer, for each step of an epoch.

        Returns:
            (n_steps, 2) int32.
        """
        key = (_DROPOUT, self.seed, self.fold, self.batch_size, layer, epoch)
        words = np.random.SeedSequence(key).generate_state(2 * n_steps).reshape(n_steps, 2)
        return (words | np.array([1, 0], dtype=np.uint32)).view(np.int32)


def weight_generator(seed: int, layer: int, fan_in: int, fan_out: int) -> np.random.Generator:
    """The generator of one layer's initial weights; independent of everything but its arguments."""
    return _generator(_WEIGHTS, seed, layer, fan_in, fan_out)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def threshold(rate: float) -> int:
    """The number below which a unit is dropped, for a dropout rate in [0, 1)."""
    return round(rate * RESOLUTION)


def counters(n_units: int, n_columns: int, device: torch.device) -> Tensor:
    """Positions of the units in the batch, shape (n_units, n_columns), int32.

    Unit u has the same numbers whatever `n_units` is, so padding a layer does not change its noise.
    """
    return torch.arange(n_units * n_columns, dtype=torch.int32, device=device).view(n_units, n_columns)


def dropout_noise(positions: Tensor, multipliers: Tensor, offsets: Tensor) -> Tensor:
    """Uniform whole numbers in [0, RESOLUTION), one for each (stream, unit, column).

    A keyed linear map of the position followed by the 32-bit finaliser of MurmurHash3 (A. Appleby, public
    domain, 2011). Whole-number arithmetic wraps alike on every device, so CPU and GPU drop the same units.

    Args:
        positions: from `counters`, (units, columns) int32.
        multipliers: (streams, 1, 1) int32, odd.
        offsets: (streams, 1, 1) int32.

    Returns:
        (streams, units, columns) int32.
    """
    x = positions.unsqueeze(0) * multipliers
    x.add_(offsets)
    for shift, factor in ((16, -2048144789), (13, -1028477387)):
        x.bitwise_xor_(_logical_shift(x, shift))
        x.mul_(factor)
    x.bitwise_xor_(_logical_shift(x, 16))
    return _logical_shift(x, 32 - _RESOLUTION_BITS)


def _logical_shift(x: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; torch's own shift of signed numbers fills with the sign."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)
