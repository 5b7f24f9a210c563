"""Noise on the gradients, which becomes smaller with the steps (Neelakantan et al. 2015).

After clipping, each gradient gets normal noise of variance `gradient_noise` / (1 + t)^0.55 at step t, from 0. The noise
is drawn from the stream by hashing the position of each parameter, so neither packing nor a resume changes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from foldstep.models.eager.packed import PackedFNN
from foldstep.models.noise import normal_noise
from foldstep.models.stack import noisy_parts
from foldstep.models.updates import NOISE_FADING, NOISE_ROW


@dataclass(frozen=True)
class _Piece:
    """One part of one member: a view of its gradient (out, in), its factor, its kind and stream, its positions."""

    gradient: Tensor
    deviation: float
    kind: int
    stream: int
    positions: Tensor


class GradientNoise:
    """The noise on the gradients of all members of a network that have it.

    Attributes:
        kinds: the parts that get noise, layer and name, in the order of the keys.
    """

    def __init__(self, net: PackedFNN) -> None:
        noisy = [i for i, slot in enumerate(net.layout.slots) if slot.hp.noise_variance]
        views = [(i, *view) for i in noisy for view in net.gradients.views(net.layout, i)]
        self.kinds = noisy_parts(net.layout, net.gradients)
        self._pieces = []
        for member, layer, name, view in views:
            slot, gradient = net.layout.slots[member], view if view.dim() == 2 else view.unsqueeze(1)
            units, inputs = (torch.arange(n, dtype=torch.int32, device=view.device) for n in gradient.shape)
            positions = units.unsqueeze(1) * NOISE_ROW + inputs
            of = self.kinds.index((layer, name)), net.streams.index(slot.stream)
            self._pieces.append(_Piece(gradient, slot.hp.noise_variance**0.5, *of, positions))

    def add(self, keys: Tensor, steps: Tensor) -> None:
        """Add the noise of one step.

        Args:
            keys: (kinds, streams, 2) int32.
            steps: number of steps taken, including this one; a scalar.
        """
        fading = steps ** (-NOISE_FADING / 2)
        for piece in self._pieces:
            noise = normal_noise(piece.positions, keys[piece.kind, piece.stream]).to(piece.gradient.dtype)
            piece.gradient.add_(noise * (piece.deviation * fading).to(noise.dtype))
