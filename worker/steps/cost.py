"""Estimates what a step of a pack costs on this device, fitted to the packs that a worker has trained.

A step takes so long for itself, however small the pack (calls from Python, launches of kernels), and so long for each
multiply-add. Both differ by more than ten times from device to device, so they are measured where they are needed.
"""

from __future__ import annotations

from collections import deque

import numpy as np

DEFAULT_OVERHEAD = 3_000_000.0
"""What a step costs before any arithmetic, in multiply-adds of its pass forward, until enough was seen: 0.5 ms on a CPU
core."""
_KEPT, _ENOUGH = 256, 6
_SPREAD = 4.0
"""The largest step that was seen has to do so many times the work of the smallest one."""
_FARTHEST = 1e4
"""How many times the default, or what part of it, the fit may come to."""


class StepCost:
    """Steps that were seen, the latest ones, and the line through them: seconds = a + b * work."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def note(self, work: float, seconds: float) -> None:
        """Add a step that was taken.

        Args:
            work: multiply-adds of the pass forward of its pack, padding and all.
            seconds: how long it took; an epoch's mean.
        """
        if work > 0 and seconds > 0:
            self._seen.append((work, seconds))

    @property
    def overhead(self) -> float:
        """The multiply-adds that take as long as what a step costs before any arithmetic: a / b."""
        if len(self._seen) < _ENOUGH:
            return DEFAULT_OVERHEAD
        work, seconds = np.array(self._seen).T
        if work.max() < _SPREAD * work.min():
            return DEFAULT_OVERHEAD
        # relative errors, for a step of a large pack takes a thousand times as long as one of a small pack
        rows = np.stack([1 / seconds, work / seconds], axis=1)
        (fixed, each), *_ = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)
        if each <= 0:
            return DEFAULT_OVERHEAD
        return float(np.clip(fixed / each, DEFAULT_OVERHEAD / _FARTHEST, DEFAULT_OVERHEAD * _FARTHEST))
