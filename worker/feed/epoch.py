"""The batches that the steps of an epoch read."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class StepBatch:
    """The batch that a pack reads in a step: the entries of an `EpochBatches` without their first axis."""

    inputs: list[Tensor]
    targets: Tensor
    weights: Tensor
    dropout: Tensor | None
    rates: Tensor


@dataclass(frozen=True)
class EpochBatches:
    """The batches that a pack reads in an epoch.

    Attributes:
        inputs: for each data group, (steps, columns, padded inputs).
        targets: (steps, groups, classes or channels, columns), see `DeviceFold.targets`.
        weights: (steps, groups, columns): 1 / rows of the batch, 0 for a column that fills it up.
        dropout: (steps, 1 + hidden layers, streams, 2, 1, 1) int32, the first layer: the inputs; None without dropout.
        rates: (steps, members, 1) learning rates.
    """

    inputs: list[Tensor]
    targets: Tensor
    weights: Tensor
    dropout: Tensor | None
    rates: Tensor

    def __getitem__(self, step: int) -> StepBatch:
        """Select the batch of one step, as views."""
        dropout = self.dropout[step] if self.dropout is not None else None
        return StepBatch(
            [x[step] for x in self.inputs], self.targets[step], self.weights[step], dropout, self.rates[step]
        )

    def at(self, step: Tensor) -> StepBatch:
        """Copy the batch of a step whose index, (1,) int64, is a tensor on the device."""
        inputs = [x.index_select(0, step)[0] for x in self.inputs]
        dropout = self.dropout.index_select(0, step)[0] if self.dropout is not None else None
        targets, weights, rates = (x.index_select(0, step)[0] for x in (self.targets, self.weights, self.rates))
        return StepBatch(inputs, targets, weights, dropout, rates)

    def copy(self) -> EpochBatches:
        """Copy all tensors."""
        dropout = self.dropout.clone() if self.dropout is not None else None
        others = (self.targets.clone(), self.weights.clone(), dropout, self.rates.clone())
        return EpochBatches([x.clone() for x in self.inputs], *others)

    def copy_(self, other: EpochBatches) -> None:
        """Overwrite the numbers by those of another epoch of the same pack."""
        for mine, its in zip(self._tensors(), other._tensors(), strict=True):
            mine.copy_(its)

    def _tensors(self) -> list[Tensor]:
        dropout = [self.dropout] if self.dropout is not None else []
        return [*self.inputs, self.targets, self.weights, *dropout, self.rates]
