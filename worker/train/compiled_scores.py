"""Validation by the compiled library: what it wants to know of the rows, and what its sums come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from models.compiled.library import SCORES, library, pointer, pointers
from models.layout import Layout
from worker.train.pack import EVALUATION_COLUMNS
from worker.train.validation import Validated, Validation

Finish = Callable[[Tensor, Tensor], Tensor]
"""(mean over the rows, variance of the truth), each (members,), to the metric."""

SUMMED: Mapping[str, tuple[str, Finish]] = {
    "accuracy": ("right", lambda mean, _: mean),
    "mse": ("squares", lambda mean, _: mean),
    "rmse": ("squares", lambda mean, _: mean.sqrt()),
    "r2": ("squares", lambda mean, variance: 1 - mean / variance),
    "mae": ("distances", lambda mean, _: mean),
}
"""Metrics, as in `models.metrics`, that the library sums up itself; for the others it hands out the outputs, and for
those whose outputs are logs of values."""


def sums(metric: str, link: str) -> bool:
    """Whether the library sums up a member's metric: a matter of its own, never of its pack."""
    return metric in SUMMED and link == "identity"


def _nothing(_mean: Tensor, variance: Tensor) -> Tensor:
    return torch.full_like(variance, math.nan)


class CompiledScores:
    """The scores and losses of a pack's members.

    Args:
        validation: the rows.
        layout: the members.
    """

    def __init__(self, validation: Validation, layout: Layout) -> None:
        self._validation, self._folds = validation, validation.folds
        self._parts = [fold.valid for fold in self._folds]
        self._dtype = self._folds[0].x_valid.dtype
        self._group_of = torch.tensor([s.group for s in layout.slots])
        self._inputs = [library().transposed(fold.x_valid) for fold in self._folds]
        n_columns, n_chunks = validation.n_columns, len(self._folds[0].x_valid)
        targets = torch.stack([part.targets(n_columns) for part in self._parts]).to(self._dtype)
        by_chunk = targets.view(*targets.shape[:2], n_chunks, EVALUATION_COLUMNS).transpose(1, 2)
        self._targets = by_chunk.contiguous()
        self._weights = torch.stack([part.weights(n_columns) for part in self._parts]).to(self._dtype)
        self._losses = torch.empty(len(layout), dtype=self._dtype)
        self._sums = torch.empty(len(layout), dtype=torch.float64)
        self._score, self._finish = SUMMED.get(validation.metric, ("none", _nothing))
        self._left = [i for i, part in enumerate(self._parts) if not sums(validation.metric, part.coder.link)]
        self._values = torch.zeros(len(self._parts), n_columns, dtype=torch.float64)
        for values, part in zip(self._values, self._parts, strict=True):
            values[: len(part.truth)] = part.truth
        codings = [[part.coder.scale, part.coder.mean] for part in self._parts]
        self._codings = torch.tensor(codings, dtype=torch.float64)

    def fields(self) -> dict[str, Any]:
        """Those of an `EvaluationRecord` that are about the rows and the answer."""
        _, n_chunks, channels, _ = self._targets.shape
        return {
            "n_chunks": n_chunks, "channels": channels, "columns_of": pointers(self._inputs),
            "targets": pointer(self._targets), "weights": pointer(self._weights),
            "score": SCORES.index(self._score), "values": pointer(self._values), "codings": pointer(self._codings),
            "losses": pointer(self._losses), "scores": pointer(self._sums),
            "outputs": pointer(self._validation.outputs) if self._left else None,
        }  # fmt: skip

    def validated(self) -> Validated:
        """What the library has found."""
        scores = self._finish(self._sums / self._n_rows, self._variance)
        self._validation.score(self._left, scores)
        return Validated(scores, self._losses.clone())

    @cached_property
    def _n_rows(self) -> Tensor:
        return torch.tensor([len(part.truth) for part in self._parts])[self._group_of]

    @cached_property
    def _variance(self) -> Tensor:
        return torch.stack([part.truth.double().var(correction=0) for part in self._parts])[self._group_of]
