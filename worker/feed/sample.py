"""The rows of a fold that are evaluated: the validation part, and a sample of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
        truth: (rows,) class indices, or float64 in the user's units; of several targets (rows, targets).
        exposure: (rows,) float64, the exposure of each row's count; None for 1.
        weight: (rows,) float64, how much each row counts; None for equal weights.
    """

    coder: TargetCoder
    truth: Tensor
    exposure: Tensor | None = None
    weight: Tensor | None = None

    def predictions(self, outputs: Tensor) -> Tensor:
        """Compute predictions in the user's units from the outputs of a regression.

        Args:
            outputs: (members, outputs, rows).

        Returns:
            (members, rows) float64; of quantiles (members, quantiles, rows), sorted as in `TargetCoder.values`.
        """
        assert not self.coder.each, "each of several targets is a part of its own"
        raw = (outputs if self.coder.quantiles else outputs[:, 0]).double()
        if self.coder.transform != "none":
            return torch.from_numpy(self.coder.values(raw.cpu().numpy(), None)).to(outputs.device)
        values = raw * self.coder.scale + self.coder.mean
        if self.coder.link == "identity":
            values = values.sort(dim=1).values if self.coder.quantiles else values
            return values if self.coder.ends is None else values.clamp_(*self.coder.ends)
        return values.exp_() if self.exposure is None else values.exp_().mul_(self.exposure)

    def score(self, metric: str, outputs: Tensor) -> Tensor:
        """Compute the metric of each member, (members,) float64, in the user's units.

        Args:
            metric: name of the metric.
            outputs: (members, outputs, columns); columns after the rows are ignored.
        """
        if self.coder.each:
            return mean_of_targets(self.own_scores(metric, outputs))
        outputs = outputs[:, :, : len(self.truth)]
        if self.coder.classes is not None:
            return score_classes(metric, outputs, self.truth, self.weight)
        return score_values(metric, self.predictions(outputs), self.truth, self.weight, self.coder.quantiles)

    def own_scores(self, metric: str, outputs: Tensor) -> list[Tensor]:
        """Compute the metric of each of several targets, of which `score` is the mean; (members,) float64 each."""
        return [
            part.score(metric, _outputs_of_label(outputs[:, t]) if part.coder.classes else outputs[:, t : t + 1])
            for t, part in enumerate(self._of_targets)
        ]

    @cached_property
    def _of_targets(self) -> list[Part]:
        """The part of each of several targets alone."""
        truths = self.truth.t().contiguous()
        return [Part(one, truth, None, self.weight) for one, truth in zip(self.coder.each, truths, strict=True)]

    def weights(self, n_columns: int) -> Tensor:
        """Compute the share of each row in the loss, (n_columns,) float64: 1 / rows, or by weight; 0 to fill up."""
        weights = torch.zeros(n_columns, dtype=torch.float64, device=self.truth.device)
        weights[: len(self.truth)] = 1 / len(self.truth) if self.weight is None else self.weight / self.weight.sum()
        return weights

    def targets(self, n_columns: int) -> Tensor:
        """Compute the loss's targets: a row's weight at its class, or value and offset, or several targets' values.

        Returns:
            (classes, 2 or targets, n_columns) float64.
        """
        if self.coder.task == "multilabel":
            labels = torch.zeros(self.coder.n_outputs, n_columns, dtype=torch.float64, device=self.truth.device)
            labels[:, : len(self.truth)] = self.truth.t()
            return labels
        if self.coder.each:
            return torch.stack([part.targets(n_columns)[0] for part in self._of_targets])
        if self.coder.classes is not None:
            targets = torch.zeros(self.coder.n_outputs, n_columns, dtype=torch.float64, device=self.truth.device)
            return targets.scatter_(0, self.truth.unsqueeze(0), self.weights(n_columns)[None, : len(self.truth)])
        targets = torch.zeros(2, n_columns, dtype=torch.float64, device=self.truth.device)
        targets[0, : len(self.truth)] = self.truth
        if self.coder.transform != "none":
            known = self.coder.standardised(self.truth.cpu().numpy())
            targets[0, : len(self.truth)] = torch.from_numpy(known).to(targets.device)
        elif self.coder.link == "identity":
            targets[0].sub_(self.coder.mean).div_(self.coder.scale)
        targets[1] = self.coder.mean
        if self.exposure is not None:
            targets[1, : len(self.truth)] += self.exposure.log()
        return targets

    def chance(self) -> Tensor:
        """Compute constant outputs, (outputs,) float64: the logs of the classes' shares, the quantiles, or 0.

        Of a label it is the log odds of its share.
        """
        if self.coder.each:
            logs = torch.stack([part.chance() for part in self._of_targets])
            return logs[:, 1] - logs[:, 0] if self.coder.task == "multilabel" else logs[:, 0]
        if self.coder.quantiles:
            return torch.quantile(self.targets(len(self.truth))[0], self.truth.new_tensor(self.coder.quantiles))
        if self.coder.classes is None:
            return torch.zeros(1, dtype=torch.float64, device=self.truth.device)
        counts = torch.bincount(self.truth, self.weight, minlength=self.coder.n_outputs).double()
        whole = len(self.truth) if self.weight is None else self.weight.sum()
        return (counts / whole).clamp(min=1e-30).log()


def mean_of_targets(scores: Sequence[Tensor]) -> Tensor:
    """Average the scores of several targets, (members,) each; one after the other, so that a pack changes no bit."""
    return sum(scores[1:], start=scores[0]) / len(scores)


def _outputs_of_label(log_odds: Tensor) -> Tensor:
    """Write the log odds of a label, (members, rows), as outputs of two classes, (members, 2, rows)."""
    return torch.stack([torch.zeros_like(log_odds), log_odds], dim=1)


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
        factors = (None if factor is None else factor[rows] for factor in (whole.exposure, whole.weight))
        self.part = Part(whole.coder, whole.truth[rows], *factors)

    def inputs(self, chunk: int) -> Tensor:
        """Select the inputs of a chunk, (columns, padded inputs); zeros if this fold has fewer chunks."""
        return self.x[chunk] if chunk < len(self.x) else torch.zeros_like(self.x[0])


class LossRows:
    """The targets and weights that a loss reads for the rows of every member, kept in the same memory.

    Allocators return memory of this size to the system at once, and a new allocation takes longer than the loss.

    Attributes:
        weights: (members, 1, columns), see `Part.weights`.

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
