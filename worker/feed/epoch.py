"""The batches that the steps of an epoch read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class StepBatch:
    """The batch that a pack reads in a step: the entries of an `EpochBatches` without their first axis."""

    inputs: list[Tensor]
    targets: Tensor
    weights: Tensor
    dropout: Tensor | None
    rates: Tensor
    drops: Tensor | None = None
    decays: Tensor | None = None
    averages: Tensor | None = None
    gradient_keys: Tensor | None = None
    shares: Tensor | None = None


@dataclass(frozen=True)
class EpochBatches:
    """The batches that a pack reads in an epoch.

    Attributes:
        inputs: for each data group, (steps, columns, padded inputs).
        targets: (steps, groups, classes or channels, columns), see `DeviceFold.targets`.
        weights: (steps, groups, columns): 1 / rows of the batch, times the row's weight if rows have weights, which
            are 1 on average over the training part; 0 for a column that fills the batch up.
        dropout: (steps, 1 + hidden layers, streams, 2, 1, 1) int32, the first layer: the inputs; None without dropout.
        rates: (steps, members, 1) learning rates.
        drops: (steps, members, 1) float64 factors on the dropout rates; None if all are 1.
        decays: (steps, members, 1) factors on the weight decay; None if all are 1.
        averages: (steps, members, 1) shares of the new weights in their average, see `average_shares`; None if all are
            `OWN_SHARE`.
        gradient_keys: (steps, kinds, streams, 2) int32, keys of the noise on gradients; None without.
        shares: (steps, groups, columns): 1 / rows of the batch, or 0; None where those are the weights.
    """

    inputs: list[Tensor]
    targets: Tensor
    weights: Tensor
    dropout: Tensor | None
    rates: Tensor
    drops: Tensor | None = None
    decays: Tensor | None = None
    averages: Tensor | None = None
    gradient_keys: Tensor | None = None
    shares: Tensor | None = None

    def __getitem__(self, step: int) -> StepBatch:
        """Select the batch of one step, as views."""
        return StepBatch([x[step] for x in self.inputs], **self._others(lambda x: x[step]))

    def at(self, step: Tensor) -> StepBatch:
        """Copy the batch of a step whose index, (1,) int64, is a tensor on the device."""
        inputs = [x.index_select(0, step)[0] for x in self.inputs]
        return StepBatch(inputs, **self._others(lambda x: x.index_select(0, step)[0]))

    def copy(self) -> EpochBatches:
        """Copy all tensors."""
        return EpochBatches([x.clone() for x in self.inputs], **self._others(Tensor.clone))

    def copy_(self, other: EpochBatches) -> None:
        """Overwrite the numbers by those of another epoch of the same pack."""
        for mine, its in zip(self._tensors(), other._tensors(), strict=True):
            mine.copy_(its)

    def _tensors(self) -> list[Tensor]:
        others = [getattr(self, f.name) for f in fields(self)[1:]]
        return [*self.inputs, *(x for x in others if x is not None)]

    def _others(self, change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Apply a function to all tensors but the inputs, by name; what is None stays None."""
        found = ((f.name, getattr(self, f.name)) for f in fields(self)[1:])
        return {name: None if x is None else change(x) for name, x in found}
