"""The running average of the weights (Polyak and Juditsky 1992; in this exponential form Tarvainen and Valpola 2017).

After every step average = decay * average + (1 - decay) * weights; the first average is the weights after the first
step, as in PyTorch's `AveragedModel`. With `swa_start` it is the mean of the weights at the ends of the last epochs
(see `models.schedules.average_shares`). The running statistics of batch normalisation are averaged in the same way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foldstep.models.eager.packed import PackedFNN
from foldstep.models.stack import Stack


class WeightAverage:
    """The averages of all members of a network; for a member without averaging they equal its weights.

    Attributes:
        weights: the averages.
    """

    def __init__(self, net: PackedFNN) -> None:
        self._net = net
        self.weights = Stack(net.layout, net.dtype, net.device, statistics=True)
        decays = [s.hp.ema_decay for s in net.layout.slots]
        self._share = 1 - torch.tensor(decays, dtype=net.dtype, device=net.device).unsqueeze(1)

    def start(self) -> None:
        """Set the average to the present weights."""
        self.weights.buffer.copy_(self._net.parameters.buffer)

    def update(self, shares: Tensor | None = None) -> None:
        """Update the average with the weights after a step.

        Args:
            shares: (members, 1), each member's share of the new weights; one below 0 stands for 1 - its `ema_decay`, as
                None does for all.
        """
        own = self._share if shares is None else torch.where(shares < 0, self._share, shares)
        for average, now in zip(self.weights.parts, self._net.parameters.parts, strict=True):
            share = own[self._net.layout.blocks[now.block].run.members]
            torch.lerp(average.flat, now.flat, share, out=average.flat)
            torch.where(share == 1, now.flat, average.flat, out=average.flat)  # lerp loses the sign of a zero
