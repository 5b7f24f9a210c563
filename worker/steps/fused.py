"""A pack's steps by the kernel for GPUs: all steps of an epoch of all members in one launch for each depth."""

from __future__ import annotations

import torch
from torch import Tensor
from triton.errors import TritonError

from foldstep.models.catalog.tasks import Task
from foldstep.models.eager.optim import PackedOptimizer
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.fused.launch import FedSteps, FusedMembers
from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.validation import Validated, Validation
from foldstep.worker.steps.eager import EagerSteps


class FusedSteps:
    """The members of one pack in the kernel's hands; scores, and steps that are looked at, are `EagerSteps`'.

    Args:
        eager: the same members.
        net: their network.
        optimizer: its optimizer.
        task: `classification` or `regression`.
        warps: of each member's program.
    """

    def __init__(self, eager: EagerSteps, net: PackedFNN, optimizer: PackedOptimizer, task: Task, warps: int) -> None:
        self._eager, self._optimizer = eager, optimizer
        moments = optimizer.first, optimizer.second
        self._members = FusedMembers(net.layout, net.parameters, *moments, net.streams, task, warps)
        self.columns = eager.columns

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """See `worker.steps.eager.Steps`."""
        if not (passes and updates):
            return self._eager.run(batches, steps, before, passes=passes, updates=updates)
        self._optimizer.advance(len(steps))
        inputs = torch.stack(batches.inputs, dim=1)
        fed = FedSteps(inputs, batches.targets, batches.weights, batches.dropout, batches.rates)
        try:
            return self._members.take(fed, steps, before)
        except TritonError as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    def evaluate(self, validation: Validation) -> Validated:
        """See `worker.steps.eager.Steps`."""
        return self._eager.evaluate(validation)

    def keep_best(self, is_best: Tensor) -> None:
        """See `worker.steps.eager.Steps`."""
        self._eager.keep_best(is_best)
