"""The random numbers of training, as pure functions of keys: no generator keeps a state between steps.

A stream is one data order and one noise source, identified by (seed, fold, batch size). Its numbers at a step depend
only on this key and the step, so members with the same stream see the same batches and the same noise, and neither the
packing nor a resume changes them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

# The purpose of a draw, part of every key, so that different purposes use different numbers.
_ORDER, _DROPOUT, _WEIGHTS, _BIASES, _STAGE = 1, 2, 3, 6, 11
MIXING, MASKING, _GRADIENT = 12, 13, 14
"""Purposes of `Stream.generator`."""

RESOLUTION_BITS = 24
RESOLUTION = 1 << RESOLUTION_BITS
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

    def gradient_keys(self, layer: int, part: str, epoch: int, n_steps: int) -> np.ndarray:
        """Draw the keys of `normal_noise` for one part of a layer at each step of an epoch, (n_steps, 2) int32."""
        key = (_GRADIENT, self.seed, self.fold, self.batch_size, layer, zlib.crc32(part.encode()), epoch)
        words = np.random.SeedSequence(key).generate_state(2 * n_steps).reshape(n_steps, 2)
        return (words | np.array([1, 0], dtype=np.uint32)).view(np.int32)

    def generator(self, purpose: int, *key: int) -> np.random.Generator:
        """Make the generator of the numbers for a purpose; they depend only on the stream and the key."""
        return _generator(purpose, self.seed, self.fold, self.batch_size, *key)


def weight_generator(seed: int, layer: int, fan_in: int, fan_out: int) -> np.random.Generator:
    """Make the generator of one layer's initial weights; its numbers depend only on the arguments."""
    return _generator(_WEIGHTS, seed, layer, fan_in, fan_out)


def stage_generator(seed: int, part: str, rows: int, columns: int) -> np.random.Generator:
    """Make the generator of the initial numbers of a part of an input stage, given its name and its shape."""
    return _generator(_STAGE, seed, int.from_bytes(part.encode()), rows, columns)


def bias_generator(seed: int, layer: int, fan_out: int) -> np.random.Generator:
    """Make the generator of one layer's initial biases; its numbers depend only on the arguments."""
    return _generator(_BIASES, seed, layer, fan_out)


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def threshold(rate: float) -> int:
    """Compute the number below which the noise drops a unit, for a dropout rate in [0, 1)."""
    return round(rate * RESOLUTION)
