"""Dropout in a pack: members of a stream share the noise; each compares it with its own rate.

Inverted dropout (Srivastava et al. 2014, in PyTorch's form): kept units are multiplied by 1 / (1 - rate).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from foldstep.models.layout import Layout, Run
from foldstep.models.noise import counters, dropout_noise
from foldstep.models.streams import RESOLUTION, Stream, threshold


class LayerDropout:
    """Dropout of one layer of units for the members that have that layer.

    Args:
        layout: the members.
        rates: dropout rates of the first `len(rates)` members of the layout.
        n_units: padded units of the layer.
        n_columns: columns of a batch.
        streams: every stream of the pack, in the order of the noise keys.
        dtype: type of the activations.
        device: device of the activations.
    """

    def __init__(
        self, layout: Layout, rates: Sequence[float], n_units: int, n_columns: int, streams: Sequence[Stream],
        dtype: torch.dtype, device: torch.device,
    ) -> None:  # fmt: skip
        index = {stream: i for i, stream in enumerate(streams)}
        self.runs: list[tuple[int, Run]] = layout.runs(lambda s: index[s.stream], stop=len(rates))
        scales = [1 / (1 - r) for r in rates]
        self._rates = torch.tensor(rates, dtype=torch.float64, device=device).view(-1, 1, 1)
        self._scale = torch.tensor(scales, dtype=dtype, device=device).view(-1, 1, 1)
        self._limit = torch.tensor([threshold(r) for r in rates], dtype=torch.int32, device=device).view(-1, 1, 1)
        self._is_dropped = torch.empty(len(rates), n_units, n_columns, dtype=torch.bool, device=device)
        self._positions = counters(n_units, n_columns, device)

    def follow(self, factors: Tensor) -> None:
        """Set the rates of this step: the members' dropout rates times `factors`, (members, 1) float64."""
        rates = self._rates * factors.unsqueeze(2)
        self._scale = (1 / (1 - rates)).to(self._scale.dtype)
        self._limit = (rates * RESOLUTION).round().to(torch.int32)

    def forward(self, values: Tensor, keys: Tensor, out: Tensor) -> None:
        """Apply dropout to the units of a layer.

        Args:
            values: (members, units, columns).
            keys: (streams, 2, 1, 1) int32, the noise of this step and layer.
            out: receives the result; may be `values`.
        """
        noise = dropout_noise(self._positions, keys[:, 0], keys[:, 1])
        for stream, run in self.runs:
            torch.lt(noise[stream], self._limit[run.members], out=self._is_dropped[run.members])
        torch.mul(values, self._scale, out=out)
        out.masked_fill_(self._is_dropped, 0)

    def backward(self, gradient: Tensor) -> None:
        """Turn the gradient with respect to the result into the one with respect to the values, in place."""
        gradient.mul_(self._scale).masked_fill_(self._is_dropped, 0)
