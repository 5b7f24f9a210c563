"""Take a pack's steps with the fused backend: one launch of the GPU kernel takes all steps of an epoch at one depth."""

from __future__ import annotations

import torch
from torch import Tensor
from triton.errors import TritonError

from foldstep.models.fused.launch import FedSteps, FusedMembers
from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.steps.parts import PackParts


class FusedSteps:
    """The steps of one pack in the fused backend, with one program of the kernel for each member.

    Args:
        parts: the parts of the pack.
        warps: number of warps of each member's program.
    """

    def __init__(self, parts: PackParts, warps: int) -> None:
        net, self._optimizer = parts.net, parts.optimizer
        moments = self._optimizer.first, self._optimizer.second
        self._members = FusedMembers(net.layout, net.parameters, *moments, net.streams, parts.task, warps)

    @staticmethod
    def covers(_steps: range, _before: int) -> bool:
        """See `worker.steps.protocol.FastSteps`: the kernel covers all whole steps."""
        return True

    def prepare(self, batches: EpochBatches, before: int) -> None:
        """See `worker.steps.protocol.FastSteps`: compiles the kernel and allocates its inputs, without a step."""
        self.run(batches, range(0), before)

    def run(self, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """See `worker.steps.protocol.FastSteps`."""
        self._optimizer.advance(len(steps))
        inputs = torch.stack(batches.inputs, dim=1)
        fed = FedSteps(inputs, batches.targets, batches.weights, batches.dropout, batches.rates)
        try:
            return self._members.take(fed, steps, before)
        except TritonError as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error
