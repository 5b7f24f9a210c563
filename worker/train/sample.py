"""Rows of a fold as the probe evaluates them: the validation part, and some of the training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.losses import Loss
from worker.data.target import TargetCoder
from worker.train.pack import EVALUATION_COLUMNS

_ROWS_SHARE = 8
_MAX_CHUNKS = 16


@dataclass(frozen=True)
class Part:
    """Rows of one fold as metrics and losses want them.

    Attributes:
        truth: (rows,) class indices, or float64 in the user's units.
        targets: (1, outputs, rows): each row's weight at its class, or standardised values.
        weights: (1, 1, rows): 1 / rows.
        chance: (1, outputs, 1): the best outputs that know nothing of a row: the classes' shares, or the mean.
    """

    truth: Tensor
    targets: Tensor
    weights: Tensor
    chance: Tensor

    @classmethod
    def of(cls, coder: TargetCoder, truth: Tensor, dtype: torch.dtype) -> Part:
        """Rows of which the truth is known."""
        weights = torch.full((1, 1, len(truth)), 1 / len(truth), dtype=dtype, device=truth.device)
        if coder.classes is None:
            targets = ((truth - coder.mean) / coder.scale).to(dtype).view(1, 1, -1)
            return cls(truth, targets, weights, targets.mean(dim=2, keepdim=True))
        targets = weights.new_zeros(1, coder.n_outputs, len(truth)).scatter_(1, truth.view(1, 1, -1), weights)
        shares = targets.sum(dim=2, keepdim=True)
        return cls(truth, targets, weights, shares.clamp(min=torch.finfo(dtype).tiny).log())

    def loss(self, loss: Loss, outputs: Tensor) -> Tensor:
        """The loss of each member, (members,), from (members, outputs, columns) of which the first are the rows."""
        own = outputs[:, :, : len(self.truth)].clone()  # losses write on their outputs
        return loss(own, self.targets, self.weights, torch.empty_like(own))

    def chance_loss(self, loss: Loss) -> Tensor:
        """The loss of outputs that know nothing of a row, (1,)."""
        return self.loss(loss, self.chance.expand(-1, -1, len(self.truth)))


class Sample:
    """Training rows of a fold, evenly spread: an eighth of them, but 128 at least and 2048 at most.

    Attributes:
        x: (chunks, EVALUATION_COLUMNS, padded inputs).
        part: their truth.

    Args:
        x_train: (training rows + 1, padded inputs).
        y_train: (training rows,) class indices or standardised values.
        coder: of the target.
    """

    def __init__(self, x_train: Tensor, y_train: Tensor, coder: TargetCoder) -> None:
        n_chunks = min(max(len(y_train) // _ROWS_SHARE // EVALUATION_COLUMNS, 1), _MAX_CHUNKS)
        self._n_rows = min(n_chunks * EVALUATION_COLUMNS, len(y_train))
        rows = torch.from_numpy(np.linspace(0, len(y_train) - 1, self._n_rows).astype(np.int64)).to(y_train.device)
        x = x_train.new_zeros(n_chunks * EVALUATION_COLUMNS, x_train.shape[1])
        x[: self._n_rows] = x_train[rows]
        self.x = x.view(n_chunks, EVALUATION_COLUMNS, -1)
        y = y_train[rows]
        truth = y if coder.classes is not None else y.double() * coder.scale + coder.mean
        self.part = Part.of(coder, truth, x_train.dtype)

    def inputs(self, chunk: int) -> Tensor:
        """(columns, padded inputs) of a chunk; zeros where this fold has none of that number."""
        return self.x[chunk] if chunk < len(self.x) else torch.zeros_like(self.x[0])

    def shares(self, chunk: int) -> Tensor:
        """(columns, 1): 1 / rows for each row of a chunk, 0 for what fills it up."""
        first = chunk * EVALUATION_COLUMNS
        is_row = torch.arange(first, first + EVALUATION_COLUMNS, device=self.x.device) < self._n_rows
        return (is_row.to(self.x.dtype) / self._n_rows).unsqueeze(1)
