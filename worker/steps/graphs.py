"""Takes a pack's steps on a GPU: one step is captured, then repeated without asking the host for its kernels.

The captured step reads everything that differs from step to step from memory that stays where it is: the batches of the
epoch, and a counter on the device that says which of them is next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.steps.eager import EagerSteps

log = logging.getLogger(__name__)

WARM_UP = 2
"""Steps that are taken before one is captured: libraries allocate what they need when they are first called."""

Recorder: TypeAlias = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes `WARM_UP` steps, captures another one without taking it, and returns what takes it. Raises RuntimeError where
the device cannot capture it."""


def record_cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Capture a step as a CUDA graph: a `Recorder`."""
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def recorder_of(device: torch.device) -> Recorder | None:
    """Choose what captures steps on a device; None where nothing does."""
    return record_cuda_graph if device.type == "cuda" else None


@dataclass(frozen=True)
class _Captured:
    """A captured step and the memory that it reads and writes.

    Attributes:
        batches: of the present epoch.
        next: (1,) int64, the step of the epoch that comes next.
        losses: (members,), the sum of the epoch's so far.
        take: takes a step.
    """

    batches: EpochBatches
    next: Tensor
    losses: Tensor
    take: Callable[[], None]


class GraphSteps:
    """The steps of one pack, taken by repeating a captured one.

    Args:
        eager: takes the steps that come before all others, and those that are captured.
        record: captures a step.
    """

    def __init__(self, eager: EagerSteps, record: Recorder) -> None:
        self._eager, self._record = eager, record
        self._captured: _Captured | None = None

    def covers(self, steps: range, before: int) -> bool:
        """See `worker.steps.protocol.FastSteps`: an epoch is too short if nothing would be left of it to repeat."""
        return self._captured is not None or len(_split(steps, before)[1]) > WARM_UP

    @staticmethod
    def prepare(_batches: EpochBatches, _before: int) -> None:
        """See `worker.steps.protocol.FastSteps`: a step that cannot be captured is called instead."""

    def run(self, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """See `worker.steps.protocol.FastSteps`."""
        first, rest = _split(steps, before)
        losses = self._eager.run(batches, first, before)
        if self._captured is None:
            return self._run_and_capture(batches, rest, losses)
        return self._repeat(self._captured, batches, rest, losses)

    @staticmethod
    def _repeat(captured: _Captured, batches: EpochBatches, steps: range, losses: Tensor) -> Tensor:
        captured.batches.copy_(batches)
        captured.next.fill_(steps.start)
        captured.losses.copy_(losses)
        for _ in steps:
            captured.take()
        return captured.losses.clone()

    def _run_and_capture(self, batches: EpochBatches, steps: range, losses: Tensor) -> Tensor:
        """Take some steps, the first ones to warm up; where a step cannot be captured, all of them."""
        at = torch.full((1,), steps.start, dtype=torch.int64, device=batches.targets.device)
        own = batches.copy()

        def step() -> None:
            losses.add_(self._eager.step(own.at(at)))
            at.add_(1)

        try:
            self._captured = _Captured(own, at, losses, self._record(step))
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            log.warning("steps are not captured, which is slower: %s", error)
            self._captured = _Captured(own, at, losses, step)
        # where it could not, some of the warm-up may have been taken, and nothing of the step to be captured
        for _ in range(int(at) - steps.start, len(steps)):
            self._captured.take()
        return losses.clone()


def _split(steps: range, before: int) -> tuple[range, range]:
    """Cut off the very first step of a training: it starts the running average, so it is unlike the others."""
    at = min(steps.start + (before + steps.start == 0), steps.stop)
    return range(steps.start, at), range(at, steps.stop)
