"""The random numbers of training, as pure functions of keys: no generator keeps a state between steps.

A stream is one data order and one noise source, identified by (seed, fold, batch size). Its numbers at a step depend
only on this key and the step, so members with the same stream see the same batches and the same noise, and neither the
packing nor a resume changes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# The purpose of a draw, part of every key, so that different purposes use different numbers.
_ORDER, _DROPOUT, _WEIGHTS = 1, 2, 3

_RESOLUTION_BITS = 24
RESOLUTION = 1 << _RESOLUTION_BITS
"""Dropout compares whole numbers below this with `threshold(rate)`, so every device drops the same units."""


@dataclass(frozen=True, order=True)
class Stream:
    """A data order and noise source, identified by its fields."""

    seed: int
    fold: int
    batch_size: int

    def order(self, n_rows: int, epoch: int) -> np.ndarray:
        """Draw the order of the rows in an epoch, shape (n_rows,), int64."""
        return _generator(_ORDER, self.seed, self.fold, self.batch_size, epoch).permutation(n_rows)

    def dropout_keys(self, layer: int, epoch: int, n_steps: int) -> np.ndarray:
        """Draw the multiplier (odd) and offset that seed one layer's noise, for each step of an epoch.

        Returns:
            (n_steps, 2) int32.
        """
        key = (_DROPOUT, self.seed, self.fold, self.batch_size, layer, epoch)
        words = np.random.SeedSequence(key).generate_state(2 * n_steps).reshape(n_steps, 2)
        return (words | np.array([1, 0], dtype=np.uint32)).view(np.int32)


def weight_generator(seed: int, layer: int, fan_in: int, fan_out: int) -> np.random.Generator:
    """Make the generator of one layer's initial weights; its numbers depend only on the arguments."""
    return _generator(_WEIGHTS, seed, layer, fan_in, fan_out)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def threshold(rate: float) -> int:
    """Compute the number below which the noise drops a unit, for a dropout rate in [0, 1)."""
    return round(rate * RESOLUTION)


def counters(n_units: int, n_columns: int, device: torch.device) -> Tensor:
    """Enumerate the units of all columns of a batch, shape (n_units, n_columns), int32.

    The numbers of unit u do not depend on `n_units`, so padding a layer does not change its noise.
    """
    return torch.arange(n_units * n_columns, dtype=torch.int32, device=device).view(n_units, n_columns)


def dropout_noise(positions: Tensor, multipliers: Tensor, offsets: Tensor) -> Tensor:
    """Draw uniform whole numbers in [0, RESOLUTION), one for each (stream, unit, column).

    The position is mapped linearly with the stream's key, then hashed by the 32-bit finaliser of MurmurHash3 (A.
    Appleby, public domain, 2011). Integers overflow in the same way on all devices, so CPU and GPU drop the same units.

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
    """Shift right and fill with zeros; torch's shift of signed numbers fills with the sign bit."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)
