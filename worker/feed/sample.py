"""The rows of a fold that are evaluated: the validation part, and a sample of the training rows."""

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
        coder: the coding of the target.
        truth: (rows,) class indices, or float64 in the user's units.
        exposure: (rows,) float64, the exposure of each row's count; None for 1.
    """

    coder: TargetCoder
    truth: Tensor
    exposure: Tensor | None = None

    def predictions(self, outputs: Tensor) -> Tensor:
        """Compute predictions in the user's units from the outputs of a regression.

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
            metric: name of the metric.
            outputs: (members, outputs, columns); columns after the rows are ignored.
        """
        outputs = outputs[:, :, : len(self.truth)]
        if self.coder.classes is not None:
            return score_classes(metric, outputs, self.truth)
        return score_values(metric, self.predictions(outputs[:, 0]), self.truth)

    def weights(self, n_columns: int) -> Tensor:
        """Compute the weights of the columns, (n_columns,) float64: 1 / rows for each row, 0 for filling columns."""
        weights = torch.zeros(n_columns, dtype=torch.float64, device=self.truth.device)
        weights[: len(self.truth)] = 1 / len(self.truth)
        return weights

    def targets(self, n_columns: int) -> Tensor:
        """Compute the loss's targets, (classes or 2, n_columns): a row's weight at its class, or value and offset."""
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
        """Compute constant outputs, (outputs,) float64: the logs of the classes' shares, or 0 for a regression."""
        if self.coder.classes is None:
            return torch.zeros(1, dtype=torch.float64, device=self.truth.device)
        counts = torch.bincount(self.truth, minlength=self.coder.n_outputs).double()
        return (counts / len(self.truth)).clamp(min=1e-30).log()


def sample_chunks(n_train: int) -> int:
    """Count the chunks of `EVALUATION_COLUMNS` rows in the sample of `n_train` training rows."""
    return min(max(n_train // _ROWS_SHARE // EVALUATION_COLUMNS, 1), _MAX_CHUNKS)


class Sample:
    """A sample of a fold's training rows at equal distances: about an eighth, at least 128 (or all) and at most 2048.

    Attributes:
        x: (chunks, EVALUATION_COLUMNS, padded inputs).
        part: the truth of these rows.

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
        """Select the inputs of a chunk, (columns, padded inputs); zeros if this fold has fewer chunks."""
        return self.x[chunk] if chunk < len(self.x) else torch.zeros_like(self.x[0])


class LossRows:
    """The targets and weights that a loss reads for the rows of every member, kept in the same memory.

    Allocators return memory of this size to the system at once, and a new allocation takes longer than the loss.

    Attributes:
        weights: (members, 1, columns): 1 / rows for each row, 0 for filling columns.

    Args:
        parts: the rows of every data group.
        n_columns: number of columns of the outputs.
        group_of: (members,) data group of each member.
        dtype: type of the outputs.
    """

    def __init__(self, parts: Sequence[Part], n_columns: int, group_of: Tensor, dtype: torch.dtype) -> None:
        self.weights = torch.stack([p.weights(n_columns) for p in parts]).to(dtype).unsqueeze(1)[group_of]
        self._of_groups = torch.stack([p.targets(n_columns) for p in parts]).to(dtype)
        self._group_of = group_of
        self._targets = self._of_groups[group_of]
        self._gradient = torch.empty(0)

    def losses(self, loss: PackedLoss, outputs: Tensor) -> Tensor:
        """Compute the loss of each member, (members,), from its outputs for these rows, which may be overwritten."""
        if loss.overwrites_targets:
            torch.index_select(self._of_groups, 0, self._group_of, out=self._targets)
        if self._gradient.shape != outputs.shape:
            self._gradient = torch.empty_like(outputs)  # required by the loss, not read
        return loss(outputs, self._targets, self.weights, self._gradient)
