"""Score the members of a pack on the validation rows of their folds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from foldstep.models.eager.losses import PackedLoss
from foldstep.models.layout import Layout
from foldstep.worker.feed.fold import DeviceFold
from foldstep.worker.feed.sample import LossRows, mean_of_targets


@dataclass(frozen=True)
class Validated:
    """The scores of a pack's members after an epoch.

    Attributes:
        scores: (members,) float64, the metric in the user's units; not finite where a member's outputs are not.
        losses: (members,), the validation losses, without label smoothing.
    """

    scores: Tensor
    losses: Tensor


class Validation:
    """The validation rows of a pack's data groups.

    Attributes:
        folds: the data of every group.
        metric: name of the metric.
        target_scores: the scores of each of several targets at the last evaluation, (members, targets) float64; None
            for one target.

    Args:
        folds: the data of every group.
        layout: the members.
        metric: name of the metric.
        loss: the loss of training, without label smoothing.
        dtype: type of the outputs.
    """

    def __init__(
        self, folds: Sequence[DeviceFold], layout: Layout, metric: str, loss: PackedLoss, dtype: torch.dtype
    ) -> None:
        self.folds, self.metric = folds, metric
        self._layout, self._loss, self._dtype = layout, loss, dtype
        self._device = folds[0].x_valid.device
        n_targets = folds[0].data.target.n_targets
        shape = (len(layout), n_targets)
        self.target_scores = torch.empty(shape, dtype=torch.float64, device=self._device) if n_targets > 1 else None

    @property
    def n_columns(self) -> int:
        """Number of validation rows, filled up to whole chunks."""
        return self.folds[0].x_valid.shape[:2].numel()

    @cached_property
    def outputs(self) -> Tensor:
        """Buffer for the outputs of all validation rows, (members, outputs, columns)."""
        shape = (len(self._layout), self._layout.n_outputs, self.n_columns)
        return torch.empty(shape, dtype=self._dtype, device=self._device)

    def validated(self) -> Validated:
        """Compute scores and losses from `outputs`, which are overwritten."""
        scores = torch.empty(len(self._layout), dtype=torch.float64, device=self._device)
        self.score(range(len(self.folds)), scores)
        return Validated(scores, self._rows.losses(self._loss, self.outputs))

    def score(self, groups: Collection[int], scores: Tensor) -> None:
        """Compute the metric of `outputs` for the members of some groups, into `scores`, (members,) float64."""
        for group, run in self._layout.group_runs:
            if group not in groups:
                continue
            valid, outputs = self.folds[group].valid, self.outputs[run.members]
            if self.target_scores is None:
                scores[run.members] = valid.score(self.metric, outputs)
            else:
                own = valid.own_scores(self.metric, outputs)
                self.target_scores[run.members] = torch.stack(own, dim=1)
                scores[run.members] = mean_of_targets(own)

    @cached_property
    def _rows(self) -> LossRows:
        group_of = torch.tensor([s.group for s in self._layout.slots], device=self._device)
        return LossRows([f.valid for f in self.folds], self.n_columns, group_of, self._dtype)
