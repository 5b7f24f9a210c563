"""Take a pack's steps with the eager backend, operation by operation: all hyperparameters on all devices."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from foldstep.models.eager.losses import PackedLoss
from foldstep.models.eager.workspace import Batch, Workspace
from foldstep.models.stack import Stack
from foldstep.worker.feed.epoch import EpochBatches, StepBatch
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS, columns_of
from foldstep.worker.feed.validation import Validated, Validation
from foldstep.worker.steps.parts import PackParts
from foldstep.worker.steps.precision import products_rounded_to


class EagerSteps:
    """The steps of one pack, taken operation by operation for all members at once.

    Args:
        parts: the parts of the pack.
        loss: the loss to minimise.
    """

    def __init__(self, parts: PackParts, loss: PackedLoss) -> None:
        net, self._optimizer, self._average, self._best = parts.net, parts.optimizer, parts.average, parts.best
        self._net, self._loss = net, loss
        self._group_of = torch.tensor([s.group for s in net.layout.slots], device=net.device)
        self._last_loss = torch.zeros(len(net.layout), dtype=net.dtype, device=net.device)
        self._precision = net.layout.slots[0].hp.precision  # the precision of all members: see `shape_key`
        self.columns = columns_of(parts.n_rows)

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """See `worker.steps.protocol.Steps`."""
        total = torch.zeros_like(self._last_loss)
        for number in steps:
            batch = batches[number]
            if passes:
                total += self._pass(batch)
            if updates:
                self._update(batch, is_first=before + number == 0)
        return total

    @staticmethod
    def covers(_steps: range, _before: int) -> bool:
        """See `worker.steps.protocol.FastSteps`: the eager steps cover everything."""
        return True

    @staticmethod
    def prepare(_batches: EpochBatches, _before: int) -> None:
        """See `worker.steps.protocol.FastSteps`: nothing needs preparation."""

    def step(self, batch: StepBatch) -> Tensor:
        """Take one step, which must not be the first of a training; return each member's loss, (members,)."""
        loss = self._pass(batch)
        self._update(batch, is_first=False)
        return loss

    def _update(self, batch: StepBatch, *, is_first: bool) -> None:
        self._optimizer.rates, self._optimizer.decays = batch.rates, batch.decays
        self._optimizer.gradient_keys = batch.gradient_keys
        self._optimizer.step(self._last_loss)
        if self._average is not None:
            if is_first:
                self._average.start()
            else:
                self._average.update(batch.averages)

    def _pass(self, batch: StepBatch) -> Tensor:
        space, n_outputs = self._space, self._net.layout.n_outputs
        weights = shares = batch.weights.index_select(0, self._group_of).unsqueeze(1)
        if batch.shares is not None:
            shares = batch.shares.index_select(0, self._group_of).unsqueeze(1)
        fed = Batch(batch.inputs, shares, batch.dropout, batch.drops)
        targets = batch.targets.index_select(0, self._group_of)
        with products_rounded_to(self._precision):
            outputs = self._net.forward(fed, space)[:, :n_outputs]
            self._last_loss = self._loss(outputs, targets, weights, space.output_delta[:, :n_outputs])
            self._net.backward(fed, space)
        return self._last_loss

    @cached_property
    def _space(self) -> Workspace:
        return self._net.workspace(self.columns, training=True)

    @property
    def activations(self) -> list[Tensor]:
        """By hidden layer, (members with it, padded width, columns): activations before dropout in the last pass."""
        return self._space.hidden

    @cached_property
    def evaluation_space(self) -> Workspace:
        """Buffers for passes over validation rows."""
        return self._net.workspace(EVALUATION_COLUMNS, training=False)

    @property
    def _scored(self) -> Stack:
        return self._average.weights if self._average is not None else self._net.parameters

    def evaluate(self, validation: Validation) -> Validated:
        """See `worker.steps.protocol.Steps`."""
        n_outputs = self._net.layout.n_outputs
        for i, chunk in enumerate(torch.split(validation.outputs, EVALUATION_COLUMNS, dim=2)):
            inputs = [fold.x_valid[i] for fold in validation.folds]
            chunk.copy_(self._net.evaluate(inputs, self.evaluation_space, self._scored)[:, :n_outputs])
        return validation.validated()

    def keep_best(self, is_best: Tensor) -> None:
        """See `worker.steps.protocol.Steps`."""
        for now, best in zip(self._scored.parts, self._best.parts, strict=True):
            rows = self._net.layout.blocks[now.block].run.members
            torch.where(is_best[rows].unsqueeze(1), now.flat, best.flat, out=best.flat)
