"""Takes a pack's steps in the fastest of several ways that give the plain way's results, within rounding.

A fast way is trusted after `COMPARED` epochs that the plain way took as well, with the same values (`agreement`), not
before: a wrong one would win by being fast. Every way then takes whole epochs of the training itself. Its first one in
a pack, in which kernels are compiled and steps captured, is not timed. What was found is kept for packs of the same
shape.
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
"""Starts a clock, and returns what stops it; that returns what reads the seconds, later, without waiting for long."""
WAY_FAILED = (RuntimeError, OSError, SubprocessError)
"""What a way may raise that does not work on this machine: it is not supported, or its compiler is not there."""
COMPARED = 2
"""Epochs of each way that are compared: in the first one kernels are compiled and steps captured, in the second one
what was captured is fed other batches."""
ENOUGH = 2
"""Timed epochs of each way before one is chosen."""


def host_stopwatch() -> Callable[[], Callable[[], float]]:
    """Start a `Stopwatch` for a device that is done when its functions return."""
    begun = time.perf_counter()

    def stop() -> Callable[[], float]:
        seconds = time.perf_counter() - begun
        return lambda: seconds

    return stop


def cuda_stopwatch() -> Callable[[], Callable[[], float]]:
    """Start a `Stopwatch` of the present CUDA stream: the host does not wait for it."""
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
    """Takes an epoch in a fast way and in the plain one, as `agreement.Comparison` does."""

    def run(self, fast: FastSteps, batches: EpochBatches, steps: range, before: int) -> Compared:
        """Take some steps both ways; what stands is right."""


class Timings:
    """The record of each way for packs of one shape: whether it is right, and its seconds a step."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self._failed: set[str] = set()
        self._agreed: dict[str, set[object]] = {}

    def note(self, way: str, seconds: float) -> None:
        """Remember how long a way took for each of an epoch's steps; of many epochs, the shortest times."""
        self._seconds[way] = sorted([*self._seconds.get(way, ()), seconds])[:ENOUGH]

    def fail(self, way: str) -> None:
        """Rule a way out: it does not work here, or is wrong."""
        self._failed.add(way)

    def agree(self, way: str, kinds: Set[object]) -> None:
        """Remember that a way is right for some kinds of members."""
        self._agreed.setdefault(way, set()).update(kinds)

    def agrees(self, way: str, kinds: Set[object]) -> bool:
        """Tell whether a way is known to be right for all of some kinds of members."""
        return kinds <= self._agreed.get(way, set())

    def next_of(self, ways: Sequence[str]) -> str | None:
        """Choose a way: those that are not well known, one after the other, then the fastest; None where all fail."""
        open_ = [way for way in ways if way not in self._failed]
        unknown = [way for way in open_ if len(self._seconds.get(way, ())) < ENOUGH]
        return unknown[0] if unknown else min(open_, key=lambda way: self._seconds[way][0], default=None)


class FastestSteps:
    """The steps of one pack, taken in the fastest way that is right.

    Args:
        ways: by name.
        plain: takes what no way covers, and all where none is left; right by definition.
        comparison: of a way with the plain one.
        kinds: of the pack's members; a way is compared until it has agreed for all of them.
        timings: of packs of this shape.
        stopwatch: of the device.
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
        except WAY_FAILED as error:  # and has changed nothing yet
            log.warning("steps are not taken by %s: %s", name, error)
            self._timings.fail(name)
            return self.run(batches, steps, before)
        return self._take(name, batches, steps, before)

    def _take(self, name: str, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """Take an epoch in a way that is trusted; timed, but for the first one."""
        if name not in self._warm:
            self._warm.add(name)
            return self._ways[name].run(batches, steps, before)
        stop = self._stopwatch()
        losses = self._ways[name].run(batches, steps, before)
        seconds = stop()
        self._reading = lambda: self._timings.note(name, seconds() / len(steps))
        return losses

    def _compare(self, name: str, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """Take an epoch both ways; one that is wrong is out for all packs of this shape."""
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
