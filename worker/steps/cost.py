"""Estimate the time of a step of a pack on this device, by a fit to the packs that a worker has trained.

A step takes a fixed time, independent of the size of the pack (calls from Python, launches of kernels), and a time for
each multiply-add. Both differ by more than a factor of ten between devices, so the worker measures them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

DEFAULT_OVERHEAD = 3_000_000.0
"""Fixed cost of a step in multiply-adds of a forward pass, until enough steps are measured: 0.5 ms on a CPU core."""
_KEPT, _ENOUGH = 256, 6
_SPREAD = 4.0
"""The fit is used if the largest measured step does at least so many times the work of the smallest one."""
_FARTHEST = 1e4
"""The fitted cost is limited to between the default divided by this and the default times this."""


class StepCost:
    """The cost model seconds = a + b * work, fitted to the latest measured steps."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def note(self, work: float, seconds: float) -> None:
        """Add a measured step.

        Args:
            work: multiply-adds of its pack's forward pass, including padding.
            seconds: duration of the step, the mean over an epoch.
        """
        if work > 0 and seconds > 0:
            self._seen.append((work, seconds))

    @property
    def overhead(self) -> float:
        """The fixed cost of a step, as the number of multiply-adds that take as long: a / b."""
        if len(self._seen) < _ENOUGH:
            return DEFAULT_OVERHEAD
        work, seconds = np.array(self._seen).T
        if work.max() < _SPREAD * work.min():
            return DEFAULT_OVERHEAD
        # relative errors: a step of a large pack takes a thousand times as long as one of a small pack
        rows = np.stack([1 / seconds, work / seconds], axis=1)
        (fixed, each), *_ = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)
        if each <= 0:
            return DEFAULT_OVERHEAD
        return float(np.clip(fixed / each, DEFAULT_OVERHEAD / _FARTHEST, DEFAULT_OVERHEAD * _FARTHEST))
