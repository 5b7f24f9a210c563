"""Several ways to take a pack's steps on one device, all with the same result within rounding: finds the fastest.

Every way takes whole epochs of the training itself. Its first one in a pack, in which kernels are compiled and steps
captured, is not timed. What was found is kept for packs of the same shape.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from subprocess import SubprocessError
from typing import TypeAlias

import torch
from torch import Tensor

from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.validation import Validated, Validation
from foldstep.worker.steps.eager import Steps

log = logging.getLogger(__name__)

Stopwatch: TypeAlias = Callable[[], Callable[[], Callable[[], float]]]
"""Starts a clock, and returns what stops it; that returns what reads the seconds, later, without waiting for long."""
WAY_FAILED = (RuntimeError, OSError, SubprocessError)
"""What a way may raise that does not work on this machine: it is not supported, or its compiler is not there."""
ENOUGH = 2
"""Timed epochs of each way before one is chosen."""


def host_stopwatch() -> Callable[[], Callable[[], float]]:
    """A `Stopwatch` for a device that is done when its functions return."""
    begun = time.perf_counter()

    def stop() -> Callable[[], float]:
        seconds = time.perf_counter() - begun
        return lambda: seconds

    return stop


def cuda_stopwatch() -> Callable[[], Callable[[], float]]:
    """A `Stopwatch` for the present CUDA stream: the host does not wait for it."""
    begun = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    ended = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    begun.record()

    def read() -> float:
        ended.synchronize()
        seconds: float = begun.elapsed_time(ended) / 1000
        return seconds

    def stop() -> Callable[[], float]:
        ended.record()
        return read

    return stop


class Timings:
    """Seconds a step of each way, for packs of one shape."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._failed: set[str] = set()

    def note(self, way: str, seconds: float) -> None:
        """An epoch's steps took so long each."""
        self._seconds.setdefault(way, []).append(seconds)

    def fail(self, way: str) -> None:
        """A way does not work here."""
        self._failed.add(way)

    def next_of(self, ways: Sequence[str]) -> str:
        """Which way to go: those that are not well known, one after the other, then the fastest.

        The last of `ways` never fails.
        """
        open_ = [way for way in ways if way not in self._failed]
        unknown = [way for way in open_ if len(self._seconds.get(way, ())) < ENOUGH]
        return unknown[0] if unknown else min(open_, key=lambda way: min(self._seconds[way]))


class FastestSteps:
    """The members of one pack, taken by whoever is fastest.

    Args:
        ways: by name; what none of the others can, the last one does.
        timings: of packs of this shape.
        stopwatch: of the device.
    """

    def __init__(self, ways: Mapping[str, Steps], timings: Timings, stopwatch: Stopwatch) -> None:
        self._ways, self._timings, self._stopwatch = ways, timings, stopwatch
        self._names = list(ways)
        self._warm: set[str] = set()
        self._reading: Callable[[], None] = lambda: None
        self._last = ways[self._names[-1]]
        self.columns = self._last.columns

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """See `worker.steps.eager.Steps`."""
        if not (passes and updates) or not steps:
            return self._last.run(batches, steps, before, passes=passes, updates=updates)
        self._reading()
        self._reading = lambda: None
        way = self._timings.next_of(self._names)
        if way not in self._warm:
            return self._warm_up(way, batches, steps, before)
        stop = self._stopwatch()
        losses = self._ways[way].run(batches, steps, before)
        seconds = stop()
        self._reading = lambda: self._timings.note(way, seconds() / len(steps))
        return losses

    def _warm_up(self, way: str, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """The first epoch of a way: one that does not work says so before it has changed anything."""
        self._warm.add(way)
        try:
            self._ways[way].run(batches, range(steps.start, steps.start), before)
        except torch.cuda.OutOfMemoryError:
            raise
        except WAY_FAILED as error:
            log.warning("steps are not taken by %s: %s", way, error)
            self._timings.fail(way)
            return self.run(batches, steps, before)
        return self._ways[way].run(batches, steps, before)

    def evaluate(self, validation: Validation) -> Validated:
        """See `worker.steps.eager.Steps`."""
        return self._last.evaluate(validation)

    def keep_best(self, is_best: Tensor) -> None:
        """See `worker.steps.eager.Steps`."""
        self._last.keep_best(is_best)
