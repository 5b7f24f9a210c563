"""The noise of a step, drawn from the keys of a stream on any device: whole numbers, the same on all of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foldstep.models.streams import RESOLUTION_BITS


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
    return _logical_shift(x, 32 - RESOLUTION_BITS)


def normal_noise(positions: Tensor, keys: Tensor) -> Tensor:
    """Draw nearly normal numbers of mean 0 and variance 1: sums of twelve uniform bytes, scaled.

    Args:
        positions: any shape, int32.
        keys: (2,) int32, multiplier (odd) and offset.

    Returns:
        float64, in the shape of `positions`; at most 6 in size.
    """
    total = torch.zeros_like(positions)
    for i in range(4):
        drawn = dropout_noise(positions, keys[0], keys[1] + i * 1013904243)[0]
        total += (drawn & 255) + ((drawn >> 8) & 255) + (drawn >> 16)
    return (total.double() - 12 * 127.5).div_(math.sqrt(256**2 - 1))


def _logical_shift(x: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; torch's shift of signed numbers fills with the sign bit."""
    return (x >> bits).bitwise_and_((1 << (32 - bits)) - 1)
