"""Score members with the compiled library: pass it the rows, and compute losses and metrics from its sums."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.compiled.interface import number_of
from foldstep.models.compiled.library import library, pointer, pointers
from foldstep.models.layout import Layout
from foldstep.models.metrics import finish
from foldstep.worker.data.target import TargetCoder
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS
from foldstep.worker.feed.validation import Validated, Validation


def sums(metric: str, coder: TargetCoder, *, is_weighted: bool) -> bool:
    """Tell whether the library sums up a member's metric over the rows; this does not depend on its pack.

    For other metrics, for predictions that are no multiple of the outputs, and for rows with weights, the library
    returns the outputs.
    """
    return METRICS[metric].mean_of is not None and coder.is_affine and not is_weighted


class CompiledScores:
    """The scores and losses of a pack's members.

    Args:
        validation: the rows.
        layout: the members.
    """

    def __init__(self, validation: Validation, layout: Layout) -> None:
        self._validation, self._metric = validation, validation.metric
        self._parts = [fold.valid for fold in validation.folds]
        self._left = [
            i
            for i, part in enumerate(self._parts)
            if not sums(self._metric, part.coder, is_weighted=part.weight is not None)
        ]
        self._group_of = torch.tensor([s.group for s in layout.slots])
        self._inputs = [library().transposed(fold.x_valid) for fold in validation.folds]
        dtype = self._inputs[0].dtype
        self._losses = torch.empty(len(layout), dtype=dtype)
        self._sums = torch.empty(len(layout), dtype=torch.float64)
        n_columns = validation.n_columns
        targets = torch.stack([part.targets(n_columns) for part in self._parts]).to(dtype)
        by_chunk = targets.view(*targets.shape[:2], -1, EVALUATION_COLUMNS).transpose(1, 2)
        self._targets = by_chunk.contiguous()
        self._weights = torch.stack([part.weights(n_columns) for part in self._parts]).to(dtype)
        self._values, self._codings = self._truth(n_columns)

    def _truth(self, n_columns: int) -> tuple[Tensor, Tensor]:
        """Gather the truth, (groups, n_columns), in the user's units, and each target's scale and mean, (groups, 2)."""
        values = torch.zeros(len(self._parts), n_columns, dtype=torch.float64)
        for row, part in zip(values, self._parts, strict=True):
            if not part.coder.each:  # their scores are not summed up
                row[: len(part.truth)] = part.truth
        codings = [[part.coder.scale, part.coder.mean] for part in self._parts]
        return values, torch.tensor(codings, dtype=torch.float64)

    def fields(self) -> dict[str, Any]:
        """Make the fields of the record `Evaluation` that describe the rows and the results."""
        _, n_chunks, channels, _ = self._targets.shape
        score = METRICS[self._metric].mean_of or "none"
        return {
            "n_chunks": n_chunks, "channels": channels, "columns_of": pointers(self._inputs),
            "targets": pointer(self._targets), "weights": pointer(self._weights),
            "score": number_of("Score", score), "values": pointer(self._values), "codings": pointer(self._codings),
            "losses": pointer(self._losses), "scores": pointer(self._sums),
            "outputs": pointer(self._validation.outputs) if self._left else None,
        }  # fmt: skip

    def validated(self) -> Validated:
        """Compute scores and losses from the sums of the library."""
        scores = self._sums / self._n_rows
        if METRICS[self._metric].mean_of is not None:
            scores = finish(self._metric, scores, self._variance)
        self._validation.score(self._left, scores)
        return Validated(scores, self._losses.clone())

    @cached_property
    def _n_rows(self) -> Tensor:
        return torch.tensor([len(part.truth) for part in self._parts])[self._group_of]

    @cached_property
    def _variance(self) -> Tensor:
        return torch.stack([part.truth.double().var(correction=0) for part in self._parts])[self._group_of]
