"""Holds the rows of a fold that are evaluated: the validation part, and some of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foldstep.models.eager.losses import PackedLoss
from foldstep.models.metrics import score_classes, score_values
from foldstep.worker.data.target import TargetCoder
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS

_ROWS_SHARE = 8
_MAX_CHUNKS = 16


@dataclass(frozen=True)
class Part:
    """Rows of one fold, with their truth.

    Attributes:
        coder: of the target.
        truth: (rows,) class indices, or float64 in the user's units.
        exposure: (rows,) float64, of each row's count; None for 1.
    """

    coder: TargetCoder
    truth: Tensor
    exposure: Tensor | None = None

    def predictions(self, outputs: Tensor) -> Tensor:
        """Turn outputs into predictions in the user's units.

        Args:
            outputs: (members, rows).

        Returns:
            (members, rows) float64.
        """
        values = outputs.double() * self.coder.scale + self.coder.mean
        if self.coder.link == "identity":
            return values
        return values.exp_() if self.exposure is None else values.exp_().mul_(self.exposure)

    def score(self, metric: str, outputs: Tensor) -> Tensor:
        """Compute the metric of each member, (members,) float64, in the user's units.

        Args:
            metric: its name.
            outputs: (members, outputs, columns): the rows, and columns that fill up.
        """
        outputs = outputs[:, :, : len(self.truth)]
        if self.coder.classes is not None:
            return score_classes(metric, outputs, self.truth)
        return score_values(metric, self.predictions(outputs[:, 0]), self.truth)

    def weights(self, n_columns: int) -> Tensor:
        """Give (n_columns,) float64: 1 / rows for each row, 0 for the columns that fill up."""
        weights = torch.zeros(n_columns, dtype=torch.float64, device=self.truth.device)
        weights[: len(self.truth)] = 1 / len(self.truth)
        return weights

    def targets(self, n_columns: int) -> Tensor:
        """Give what losses aim at, (classes or 2, n_columns): a row's weight at its class, or its value and offset."""
        if self.coder.classes is not None:
            targets = torch.zeros(self.coder.n_outputs, n_columns, dtype=torch.float64, device=self.truth.device)
            targets[:, : len(self.truth)].scatter_(0, self.truth.unsqueeze(0), 1 / len(self.truth))
            return targets
        targets = torch.zeros(2, n_columns, dtype=torch.float64, device=self.truth.device)
        targets[0, : len(self.truth)] = self.truth
        if self.coder.link == "identity":
            targets[0].sub_(self.coder.mean).div_(self.coder.scale)
        targets[1] = self.coder.mean
        if self.exposure is not None:
            targets[1, : len(self.truth)] += self.exposure.log()
        return targets

    def chance(self) -> Tensor:
        """Give (outputs,) float64 that know nothing of a row: log shares of the classes, or what the mean makes."""
        if self.coder.classes is None:
            return torch.zeros(1, dtype=torch.float64, device=self.truth.device)
        counts = torch.bincount(self.truth, minlength=self.coder.n_outputs).double()
        return (counts / len(self.truth)).clamp(min=1e-30).log()


def sample_chunks(n_train: int) -> int:
    """Count the chunks of `EVALUATION_COLUMNS` of the sample of so many training rows."""
    return min(max(n_train // _ROWS_SHARE // EVALUATION_COLUMNS, 1), _MAX_CHUNKS)


class Sample:
    """Training rows of a fold, evenly spread: an eighth of them, but 128 at least and 2048 at most.

    Attributes:
        x: (chunks, EVALUATION_COLUMNS, padded inputs).
        part: their truth.

    Args:
        x_train: (training rows + 1, padded inputs).
        whole: the truth of all training rows.
    """

    def __init__(self, x_train: Tensor, whole: Part) -> None:
        n_train = len(whole.truth)
        n_chunks = sample_chunks(n_train)
        n_rows = min(n_chunks * EVALUATION_COLUMNS, n_train)
        rows = torch.from_numpy(np.linspace(0, n_train - 1, n_rows).astype(np.int64)).to(x_train.device)
        x = x_train.new_zeros(n_chunks * EVALUATION_COLUMNS, x_train.shape[1])
        x[:n_rows] = x_train[rows]
        self.x = x.view(n_chunks, EVALUATION_COLUMNS, -1)
        exposure = None if whole.exposure is None else whole.exposure[rows]
        self.part = Part(whole.coder, whole.truth[rows], exposure)

    def inputs(self, chunk: int) -> Tensor:
        """Give (columns, padded inputs) of a chunk; zeros where this fold has none of that number."""
        return self.x[chunk] if chunk < len(self.x) else torch.zeros_like(self.x[0])


class LossRows:
    """The targets and weights that a loss reads for the rows of every member, always in the same memory.

    Fresh memory of this size goes back to the system at once, and to get it anew takes longer than the loss.

    Attributes:
        weights: (members, 1, columns).

    Args:
        parts: the rows of every data group.
        n_columns: as many as the outputs have.
        group_of: (members,) data group of each.
        dtype: of the outputs.
    """

    def __init__(self, parts: Sequence[Part], n_columns: int, group_of: Tensor, dtype: torch.dtype) -> None:
        self.weights = torch.stack([p.weights(n_columns) for p in parts]).to(dtype).unsqueeze(1)[group_of]
        self._of_groups = torch.stack([p.targets(n_columns) for p in parts]).to(dtype)
        self._group_of = group_of
        self._targets = self._of_groups[group_of]
        self._gradient = torch.empty(0)

    def losses(self, loss: PackedLoss, outputs: Tensor) -> Tensor:
        """Compute the loss of each member, (members,), of its outputs for these rows, which may be overwritten."""
        if loss.overwrites_targets:
            torch.index_select(self._of_groups, 0, self._group_of, out=self._targets)
        if self._gradient.shape != outputs.shape:
            self._gradient = torch.empty_like(outputs)  # which nobody reads
        return loss(outputs, self._targets, self.weights, self._gradient)
