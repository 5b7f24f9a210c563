"""Summarise the activations of one hidden layer (mean, spread, saturation, dead units) for all members at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.units import UNITS
from foldstep.models.layout import Layout


class LayerActivity:
    """Sums over the rows of several chunks, for each unit of a layer.

    Args:
        layout: the members.
        layer: index of the hidden layer, 0 for the first.
        like: (members with the layer, padded units, columns): its activations in any pass, for shape and type.
    """

    def __init__(self, layout: Layout, layer: int, like: Tensor) -> None:
        runs = layout.runs(lambda s: (s.hp.activation[layer], UNITS[s.hp.units]), stop=layout.active[layer])
        known = [(ACTIVATIONS[name], units, run) for (name, units), run in runs if units.is_activated]
        plain = [(a, run) for a, units, run in known if not units.has_second]
        self._saturating = [(run, a.saturated_below, a.saturated_above) for a, run in plain if a.saturates]
        self._rectified = [run for a, _, run in known if a.rectifies]  # a gated unit is 0 where its activation is
        widths = torch.tensor([s.hp.hidden[layer] for s in layout.slots[: len(like)]], device=like.device)
        self._widths = widths.double()
        self._is_unit = torch.arange(like.shape[1], device=like.device) < widths.unsqueeze(1)
        zeros = like.new_zeros(like.shape[:2], dtype=torch.float64)
        self._mean, self._square, self._saturated = zeros, zeros.clone(), zeros.clone()

    def add(self, activations: Tensor, shares: Tensor) -> None:
        """Add a chunk of rows to the sums.

        Args:
            activations: (members, padded units, columns); overwritten.
            shares: (members, columns, 1): weight of each column; they sum to 1 over all chunks.
        """
        self._mean += torch.bmm(activations, shares).squeeze(2)
        for run, low, high in self._saturating:
            own = activations[run.members]
            is_flat = ((own <= low) | (own >= high)).to(own.dtype)
            self._saturated[run.members] += torch.bmm(is_flat, shares[run.members]).squeeze(2)
        self._square += torch.bmm(activations.square_(), shares).squeeze(2)

    def numbers(self) -> Tensor:
        """Compute mean, standard deviation, saturated share and dead share of the activations, (members, 4) float64.

        A share is NaN if it is not defined: for the activation, saturation for a gated unit, both for maxout. All are
        NaN if an activation is not finite.
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
