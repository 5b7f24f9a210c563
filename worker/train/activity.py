"""Describes the activations of one hidden layer: mean, spread, saturation, dead units, for all members at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.layout import Layout


class LayerActivity:
    """Sums over the rows of some chunks, one for each unit of a layer.

    Args:
        layout: the members.
        layer: 0 for the first hidden one.
        like: (members of the layer, padded units, columns): its activations, of any pass.
    """

    def __init__(self, layout: Layout, layer: int, like: Tensor) -> None:
        runs = layout.runs(lambda s: s.hp.activation[layer], stop=layout.active[layer])
        known = [(ACTIVATIONS[name], run) for name, run in runs]
        self._saturating = [(run, a.saturated_below, a.saturated_above) for a, run in known if a.saturates]
        self._rectified = [run for a, run in known if a.rectifies]
        widths = torch.tensor([s.hp.hidden[layer] for s in layout.slots[: len(like)]], device=like.device)
        self._widths = widths.double()
        self._is_unit = torch.arange(like.shape[1], device=like.device) < widths.unsqueeze(1)
        zeros = like.new_zeros(like.shape[:2], dtype=torch.float64)
        self._mean, self._square, self._saturated = zeros, zeros.clone(), zeros.clone()

    def add(self, activations: Tensor, shares: Tensor) -> None:
        """Take a chunk in.

        Args:
            activations: (members, padded units, columns); overwritten.
            shares: (members, columns, 1): what each column counts; they sum to 1 over all chunks.
        """
        self._mean += torch.bmm(activations, shares).squeeze(2)
        for run, low, high in self._saturating:
            own = activations[run.members]
            is_flat = ((own <= low) | (own >= high)).to(own.dtype)
            self._saturated[run.members] += torch.bmm(is_flat, shares[run.members]).squeeze(2)
        self._square += torch.bmm(activations.square_(), shares).squeeze(2)

    def numbers(self) -> Tensor:
        """Compute (members, 4) float64: mean, spread, saturated and dead share; NaN where there is no such number.

        A layer with a value that is not finite has none of them.
        """
        mean, square = self._over_units(self._mean), self._over_units(self._square)
        spread = (square - mean.square()).clamp(min=0).sqrt()
        saturated, dead = torch.full_like(mean, math.nan), torch.full_like(mean, math.nan)
        shares, is_dead = self._over_units(self._saturated), self._over_units((self._mean == 0).double())
        for run, _, _ in self._saturating:
            saturated[run.members] = shares[run.members]
        for run in self._rectified:
            dead[run.members] = is_dead[run.members]
        return torch.stack([mean, spread, saturated, dead], dim=1) + 0 * square.unsqueeze(1)

    def _over_units(self, values: Tensor) -> Tensor:
        return torch.where(self._is_unit, values, 0).sum(dim=1) / self._widths
