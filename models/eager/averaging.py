"""The running average of the weights (Polyak and Juditsky 1992; in this exponential form Tarvainen and Valpola 2017).

average = decay * average + (1 - decay) * weights after every step, beginning with the weights after the first one, as
PyTorch's `AveragedModel` does. The running statistics of batch normalisation are averaged alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foldstep.models.eager.packed import PackedFNN
from foldstep.models.stack import Stack


class WeightAverage:
    """The averages of all members of a network; for a member without, the weights themselves.

    Attributes:
        weights: the averages.
    """

    def __init__(self, net: PackedFNN) -> None:
        self._net = net
        self.weights = Stack(net.layout, net.dtype, net.device, statistics=True)
        decays = [s.hp.ema_decay for s in net.layout.slots]
        self._share = 1 - torch.tensor(decays, dtype=net.dtype, device=net.device).unsqueeze(1)
        self._shares: list[Tensor] = [self._share[net.layout.blocks[p.block].run.members] for p in self.weights.parts]

    def start(self) -> None:
        """Take the present weights as the average."""
        self.weights.buffer.copy_(self._net.parameters.buffer)

    def update(self) -> None:
        """Take one step's weights in."""
        for average, now, share in zip(self.weights.parts, self._net.parameters.parts, self._shares, strict=True):
            torch.lerp(average.flat, now.flat, share, out=average.flat)
