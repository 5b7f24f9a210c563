"""Sums over all numbers of each member, whose bits do not depend on padding.

They are computed by matrix products, along the inputs and then along the units (see `models.layout`); a plain sum would
split a padded axis at other places, and so round differently.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foldstep.models.layout import QUANTUM


class MemberSums:
    """Sums of stacked parameters, (members, out, in) to (members,)."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype, self._device = dtype, device
        self._ones: dict[int, Tensor] = {}

    def __call__(self, values: Tensor) -> Tensor:
        """Sum the numbers of each member, (members, out, in) to (members,); `in` may be 1."""
        along = values.expand(-1, -1, QUANTUM) if values.shape[2] == 1 else values @ self._column(values.shape[2])
        row = self._column(values.shape[1]).t().expand(len(values), -1, -1)
        return torch.bmm(row, along)[:, 0, 0]

    def _column(self, size: int) -> Tensor:
        if size not in self._ones:
            self._ones[size] = torch.ones(size, QUANTUM, dtype=self._dtype, device=self._device)
        return self._ones[size]
