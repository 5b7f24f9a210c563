"""Take a pack's steps on a GPU by capturing one step and replaying it, without launching each kernel from the host.

The captured step reads everything that differs between steps from fixed addresses: the batches of the epoch, and a
counter on the device with the index of the next batch.
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
"""Steps that are taken before one is captured: libraries allocate their memory in the first calls."""

Recorder: TypeAlias = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes `WARM_UP` steps, captures another one without taking it, and returns a function that takes it. Raises
RuntimeError if the device cannot capture it."""


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
    """Choose the recorder that captures steps on a device; None if steps cannot be captured there."""
    return record_cuda_graph if device.type == "cuda" else None


@dataclass(frozen=True)
class _Captured:
    """A captured step and the memory that it reads and writes.

    Attributes:
        batches: the batches of the present epoch.
        next: (1,) int64, the index of the next step in the epoch.
        losses: (members,), the sum of the losses so far in the epoch.
        take: function that takes the step.
    """

    batches: EpochBatches
    next: Tensor
    losses: Tensor
    take: Callable[[], None]


class GraphSteps:
    """The steps of one pack, taken by replaying a captured step.

    Args:
        eager: takes the first step of a training, the warm-up, and the step that is captured.
        record: captures a step.
    """

    def __init__(self, eager: EagerSteps, record: Recorder) -> None:
        self._eager, self._record = eager, record
        self._captured: _Captured | None = None

    def covers(self, steps: range, before: int) -> bool:
        """See `worker.steps.protocol.FastSteps`: an epoch is too short if the warm-up leaves no step to replay."""
        return self._captured is not None or len(_split(steps, before)[1]) > WARM_UP

    @staticmethod
    def prepare(_batches: EpochBatches, _before: int) -> None:
        """See `worker.steps.protocol.FastSteps`: nothing can fail; a step that is not captured is called directly."""

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
        """Take the steps: the first ones as warm-up, the others by a captured step, or directly if capturing fails."""
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
        # if capturing failed, a part of the warm-up may have been taken, but not the step to be captured
        for _ in range(int(at) - steps.start, len(steps)):
            self._captured.take()
        return losses.clone()


def _split(steps: range, before: int) -> tuple[range, range]:
    """Split off the very first step of a training, which is different: it starts the running average."""
    at = min(steps.start + (before + steps.start == 0), steps.stop)
    return range(steps.start, at), range(at, steps.stop)
