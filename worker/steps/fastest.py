"""Take a pack's steps in the fastest of several ways with equal results, up to rounding.

A way is one implementation of the training step; the plain way is the eager backend. A fast way is trusted after
`COMPARED` epochs in which its numbers agreed with those of the plain way (see `agreement`). It then trains whole
epochs, which are timed, except the first one of a pack, in which kernels are compiled and steps captured. Timings and
agreement are kept for later packs of the same shape.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from subprocess import SubprocessError
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.validation import Validated, Validation
from foldstep.worker.steps.agreement import Compared
from foldstep.worker.steps.protocol import FastSteps, Steps

log = logging.getLogger(__name__)

Stopwatch: TypeAlias = Callable[[], Callable[[], Callable[[], float]]]
"""Starts a clock and returns a function that stops it; that one returns a function that reads the seconds later."""
WAY_FAILED = (RuntimeError, OSError, SubprocessError)
"""The errors of a way that does not work on this machine: it is not supported, or its compiler is missing."""
COMPARED = 2
"""Compared epochs of each way: in the first one kernels are compiled and steps captured, in the second one the captured
steps read other batches."""
ENOUGH = 2
"""Timed epochs of each way before the fastest is chosen."""


def host_stopwatch() -> Callable[[], Callable[[], float]]:
    """Start a `Stopwatch` for a device whose work is finished when its functions return, such as a CPU."""
    begun = time.perf_counter()

    def stop() -> Callable[[], float]:
        seconds = time.perf_counter() - begun
        return lambda: seconds

    return stop


def cuda_stopwatch() -> Callable[[], Callable[[], float]]:
    """Start a `Stopwatch` of the current CUDA stream, by events; the host waits only when the seconds are read."""
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


class Compares(Protocol):
    """Interface of `agreement.Comparison`, which trains an epoch in a fast way and in the plain way."""

    def run(self, fast: FastSteps, batches: EpochBatches, steps: range, before: int) -> Compared:
        """See `agreement.Comparison.run`."""


class Timings:
    """Measurements of each way for packs of one shape: whether it is right, and its seconds per step."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._failed: set[str] = set()
        self._agreed: dict[str, set[object]] = {}

    def note(self, way: str, seconds: float) -> None:
        """Record the mean seconds per step of an epoch; only the `ENOUGH` shortest times of a way are kept."""
        self._seconds[way] = sorted([*self._seconds.get(way, ()), seconds])[:ENOUGH]

    def fail(self, way: str) -> None:
        """Exclude a way, because it does not work on this machine or is wrong."""
        self._failed.add(way)

    def agree(self, way: str, kinds: Set[object]) -> None:
        """Record that a way is right for members of these kinds (`agreement.kinds_of`)."""
        self._agreed.setdefault(way, set()).update(kinds)

    def agrees(self, way: str, kinds: Set[object]) -> bool:
        """Tell whether a way is known to be right for all of these kinds of members."""
        return kinds <= self._agreed.get(way, set())

    def next_of(self, ways: Sequence[str]) -> str | None:
        """Choose a way: first those with fewer than `ENOUGH` timings, then the fastest; None if all have failed."""
        open_ = [way for way in ways if way not in self._failed]
        unknown = [way for way in open_ if len(self._seconds.get(way, ())) < ENOUGH]
        return unknown[0] if unknown else min(open_, key=lambda way: self._seconds[way][0], default=None)


class FastestSteps:
    """The steps of one pack, in the fastest way that is right.

    Args:
        ways: the ways, by name.
        plain: the plain way, right by definition; takes the steps that no way covers, or all if every way failed.
        comparison: compares a way with the plain way.
        kinds: the kinds of the pack's members; a way is compared until it has agreed for all of them.
        timings: measurements for packs of this shape.
        stopwatch: measures the time of an epoch on the device.
    """

    def __init__(
        self,
        ways: Mapping[str, FastSteps],
        plain: Steps,
        comparison: Compares,
        kinds: Set[object],
        timings: Timings,
        stopwatch: Stopwatch,
    ) -> None:
        self._ways, self._plain, self._comparison, self._kinds = ways, plain, comparison, kinds
        self._timings, self._stopwatch = timings, stopwatch
        self._names = list(ways)
        self._warm: set[str] = set()
        self._compared: dict[str, int] = {}
        self._reading: Callable[[], None] = lambda: None
        self.columns = plain.columns

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """See `worker.steps.protocol.Steps`."""
        if not (passes and updates) or not steps:
            return self._plain.run(batches, steps, before, passes=passes, updates=updates)
        self._reading()
        self._reading = lambda: None
        name = self._timings.next_of(self._names)
        if name is None or not self._ways[name].covers(steps, before):
            return self._plain.run(batches, steps, before)
        try:
            if name not in self._warm:
                self._ways[name].prepare(batches, before)
            if not self._timings.agrees(name, self._kinds):
                return self._compare(name, batches, steps, before)
        except torch.cuda.OutOfMemoryError:
            raise
        except WAY_FAILED as error:  # the way has not changed any number yet
            log.warning("steps are not taken by %s: %s", name, error)
            self._timings.fail(name)
            return self.run(batches, steps, before)
        return self._take(name, batches, steps, before)

    def _take(self, name: str, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """Train an epoch in a way that is trusted, and time it, except the first one of the pack."""
        if name not in self._warm:
            self._warm.add(name)
            return self._ways[name].run(batches, steps, before)
        stop = self._stopwatch()
        losses = self._ways[name].run(batches, steps, before)
        seconds = stop()
        self._reading = lambda: self._timings.note(name, seconds() / len(steps))
        return losses

    def _compare(self, name: str, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """Train an epoch in both ways; exclude a wrong way for all packs of this shape."""
        compared = self._comparison.run(self._ways[name], batches, steps, before)
        self._warm.add(name)
        self._compared[name] = self._compared.get(name, 0) + 1
        if compared.difference is not None:
            log.warning("steps are not taken by %s, for it is wrong: %s", name, compared.difference)
            self._timings.fail(name)
        elif self._compared[name] == COMPARED:
            self._timings.agree(name, self._kinds)
        return compared.losses

    def evaluate(self, validation: Validation) -> Validated:
        """See `worker.steps.protocol.Steps`."""
        return self._plain.evaluate(validation)

    def keep_best(self, is_best: Tensor) -> None:
        """See `worker.steps.protocol.Steps`."""
        self._plain.keep_best(is_best)
