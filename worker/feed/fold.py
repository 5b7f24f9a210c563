"""The data of one fold on the device, shared by all packs that read it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foldstep.worker.data.inputs import FoldData
from foldstep.worker.feed.sample import Part, Sample
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS, n_batches


class DeviceFold:
    """The data of one fold on the device, padded to the sizes of packs.

    Attributes:
        data: the data that it was made of.
        n_train: number of training rows.
        n_valid: number of validation rows.
        x_train: (training rows + 1, padded inputs); the last row is zero and fills up short batches.
        x_valid: (chunks, EVALUATION_COLUMNS, padded inputs).
        y_train: (training rows,) class indices, or the values that are trained on; of several (training rows, targets).
        valid: the truth of the validation rows.
    """

    def __init__(self, data: FoldData, n_inputs_padded: int, dtype: torch.dtype, device: torch.device) -> None:
        self.data = data
        self.n_train, self.n_valid = len(data.y_train), len(data.y_valid)
        self.x_train = torch.zeros(self.n_train + 1, n_inputs_padded, dtype=dtype)
        self.x_train[:-1, : data.n_inputs] = torch.from_numpy(data.x_train.copy())
        chunks = n_batches(self.n_valid, EVALUATION_COLUMNS)
        x_valid = torch.zeros(chunks * EVALUATION_COLUMNS, n_inputs_padded, dtype=dtype)
        x_valid[: self.n_valid, : data.n_inputs] = torch.from_numpy(data.x_valid.copy())
        self.x_valid = x_valid.view(chunks, EVALUATION_COLUMNS, -1).to(device)
        self.x_train = self.x_train.to(device)
        self.y_train = torch.from_numpy(data.y_train.copy()).to(device)
        y_valid = torch.from_numpy(data.y_valid.copy()).to(device)
        self.valid = Part(
            data.target, y_valid, _on_device(data.exposure_valid, device), _on_device(data.weight_valid, device)
        )
        self._exposure_train = _on_device(data.exposure_train, device)
        self._offsets = torch.full((self.n_train,), data.target.mean, dtype=torch.float64, device=device)
        if self._exposure_train is not None:
            self._offsets += self._exposure_train.log()

    @cached_property
    def row_weights(self) -> npt.NDArray[np.float64] | None:
        """How much each training row counts, 1 on average, and 1 for the row that fills up batches; None for 1."""
        weights = self.data.weight_train
        return None if weights is None else np.append(weights / weights.mean(), 1.0)

    @cached_property
    def sample(self) -> Sample:
        """The sample of training rows on which diagnostics are measured."""
        y = self._truth_of_training()
        weights = _on_device(self.data.weight_train, self.x_train.device)
        return Sample(self.x_train, Part(self.data.target, y, self._exposure_train, weights))

    def _truth_of_training(self) -> Tensor:
        """Decode the truth of the training rows, see `Part.truth`."""
        target, learned = self.data.target, self.y_train
        if target.task == "multilabel":
            return learned.long()
        if target.transform != "none" or target.each:
            return torch.from_numpy(target.values(learned.cpu().numpy().T, None).T.copy()).to(learned.device)
        return learned.double() * target.scale + target.mean if target.standardises else learned

    def targets(self, rows: Tensor, weights: Tensor, *, with_offsets: bool) -> Tensor:
        """Collect the training targets of some rows, in the form that the losses read.

        Args:
            rows: (steps, columns) row numbers; `n_train` for a filling column.
            weights: (steps, columns), see `EpochBatches.weights`.
            with_offsets: whether to add offsets, for a pack with the link log.

        Returns:
            (steps, classes, columns), each column's weight at its class; or (steps, 1, columns) values; or, with
            offsets, (steps, 2, columns) values and offsets; or of several (steps, targets, columns) values.
        """
        real = rows.clamp(max=self.n_train - 1)
        if self.data.target.each:
            return self.y_train[real].to(self.x_train.dtype).transpose(1, 2).contiguous()
        if self.data.target.classes is None:
            channels = (self.y_train, self._offsets) if with_offsets else (self.y_train,)
            return torch.stack([c[real].to(self.x_train.dtype) for c in channels], dim=1)
        targets = weights.new_zeros(rows.shape[0], self.data.n_outputs, rows.shape[1])
        return targets.scatter_(1, self.y_train[real].unsqueeze(1), weights.unsqueeze(1))


def _on_device(values: npt.NDArray[np.float64] | None, device: torch.device) -> Tensor | None:
    return None if values is None else torch.from_numpy(values.copy()).to(device)
