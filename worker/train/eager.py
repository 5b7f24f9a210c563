"""A pack's steps with `models.packed`, operation by operation: every feature on every device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from models.averaging import WeightAverage
from models.losses import PackedLoss
from models.optim import PackedOptimizer
from models.packed import Batch, PackedFNN, Workspace
from models.stack import Stack
from worker.train.batches import EpochBatches
from worker.train.fold import DeviceFold
from worker.train.pack import EVALUATION_COLUMNS, columns_of


class Steps(Protocol):
    """Whoever takes the steps of a pack.

    Attributes:
        columns: of the batches that it wants.
    """

    columns: int

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """Take some steps of an epoch.

        Args:
            batches: the epoch's, of `columns` columns.
            steps: which of them.
            before: how many steps the members have taken before this epoch.
            passes: whether to compute losses and gradients.
            updates: whether to apply the gradients; without `passes` those of the last pass.

        Returns:
            Each member's sum of losses over the steps, (members,).
        """

    def evaluate(self, folds: Sequence[DeviceFold], outputs: Tensor) -> None:
        """Write the outputs for the validation rows of each member's group to (members, outputs, columns)."""


class EagerSteps:
    """The members of one pack, all at once.

    Args:
        net: their network.
        optimizer: its optimizer.
        average: the running average of its weights, where there is one.
        loss: what is minimised.
        n_rows: of a full batch.
    """

    def __init__(
        self,
        net: PackedFNN,
        optimizer: PackedOptimizer,
        average: WeightAverage | None,
        loss: PackedLoss,
        n_rows: int,
    ) -> None:
        self._net, self._optimizer, self._average, self._loss = net, optimizer, average, loss
        self._group_of = torch.tensor([s.group for s in net.layout.slots], device=net.device)
        self._last_loss = torch.zeros(len(net.layout), dtype=net.dtype, device=net.device)
        self.columns = columns_of(n_rows)

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """See `Steps`."""
        total = torch.zeros_like(self._last_loss)
        for step in steps:
            if passes:
                self._last_loss = self._pass(batches, step)
                total += self._last_loss
            if updates:
                self._update(batches.rates[step], is_first=before + step == 0)
        return total

    def _update(self, rates: Tensor, *, is_first: bool) -> None:
        self._optimizer.rates = rates
        self._optimizer.step(self._last_loss)
        if self._average is not None:
            if is_first:
                self._average.start()
            else:
                self._average.update()

    def _pass(self, batches: EpochBatches, step: int) -> Tensor:
        space, n_outputs = self._space, self._net.layout.n_outputs
        weights = batches.weights[step].index_select(0, self._group_of).unsqueeze(1)
        dropout = batches.dropout[step] if batches.dropout is not None else None
        batch = Batch([x[step] for x in batches.inputs], weights, dropout)
        outputs = self._net.forward(batch, space)[:, :n_outputs]
        targets = batches.targets[step].index_select(0, self._group_of)
        loss = self._loss(outputs, targets, weights, space.output_delta[:, :n_outputs])
        self._net.backward(batch, space)
        return loss

    @cached_property
    def _space(self) -> Workspace:
        return self._net.workspace(self.columns, training=True)

    @property
    def activations(self) -> list[Tensor]:
        """For each hidden layer (members with it, padded width, columns), of the last pass; before dropout."""
        return self._space.hidden

    @cached_property
    def evaluation_space(self) -> Workspace:
        """Buffers for validation rows."""
        return self._net.workspace(EVALUATION_COLUMNS, training=False)

    @property
    def _scored(self) -> Stack:
        return self._average.weights if self._average is not None else self._net.parameters

    def evaluate(self, folds: Sequence[DeviceFold], outputs: Tensor) -> None:
        """See `Steps`."""
        n_outputs = self._net.layout.n_outputs
        for i, chunk in enumerate(torch.split(outputs, EVALUATION_COLUMNS, dim=2)):
            inputs = [fold.x_valid[i] for fold in folds]
            chunk.copy_(self._net.evaluate(inputs, self.evaluation_space, self._scored)[:, :n_outputs])
