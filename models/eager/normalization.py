"""Batch and layer normalisation of pre-activations in a pack, forward and backward.

Both compute scale * x_hat + shift with x_hat = (z - mean) / sqrt(variance + EPSILON). Batch normalisation takes mean
and variance over the rows of the batch, for each unit (Ioffe and Szegedy 2015), layer normalisation over the units, for
each row (Ba et al. 2016). Columns that fill up a short batch and units that pad a layer have no influence: rows are
weighted, and sums over units are matrix products, whose bits do not depend on padding (see `models.layout`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from foldstep.models.catalog.norms import EPSILON
from foldstep.models.layout import QUANTUM, Run

_OVER_ROWS = {"batch": True, "layer": False}
"""By normalisation, whether mean and variance are taken over the rows of a batch."""


class Normalization:
    """The normalisation of one hidden layer for one run of members with the same kind of normalisation.

    Args:
        kind: `batch` or `layer`, a key of the table `NORMS`.
        run: the members.
        units: (members of the layer, padded units, 1): 1 for a unit, 0 for padding.
        momentum: weight of a batch in the running statistics.
    """

    def __init__(self, kind: str, run: Run, units: Tensor, momentum: float) -> None:
        self.run, self.over_rows, self._momentum = run, _OVER_ROWS[kind], momentum
        self._units = units[run.members]
        share = self._units.transpose(1, 2) / self._units.sum(dim=1, keepdim=True)
        self._average = share.expand(-1, QUANTUM, -1).contiguous()  # equal rows: a product needs several
        self._x_hat = torch.empty(0)
        self._inverse = torch.empty(0)

    def train(
        self, z: Tensor, weights: Tensor, scale: Tensor, shift: Tensor, running: tuple[Tensor, Tensor] | None
    ) -> None:
        """Normalise in place with the statistics of the batch, and keep the values that the backward pass needs.

        Args:
            z: (members of the run, units, columns) pre-activations.
            weights: (members, 1, columns): 1 / rows for a row, 0 for a filling column.
            scale: (members, units, 1).
            shift: (members, units, 1).
            running: running mean and variance, (members, units, 1), updated; None for layer normalisation.
        """
        mean = self._mean(z, weights)
        z.sub_(mean)
        variance = self._mean(z * z, weights)
        if running is not None:
            rows = 1 / weights.amax(dim=2, keepdim=True)
            unbiased = variance * (rows / (rows - 1).clamp(min=1))
            running[0].lerp_(mean, self._momentum)
            running[1].lerp_(unbiased, self._momentum)
        self._inverse = torch.rsqrt(variance + EPSILON)
        self._x_hat = z.mul_(self._inverse).clone() if self.over_rows else z.mul_(self._inverse).mul(self._units)
        torch.addcmul(shift, self._x_hat, scale, out=z)

    def evaluate(self, z: Tensor, scale: Tensor, shift: Tensor, running: tuple[Tensor, Tensor] | None) -> None:
        """Normalise in place, with running statistics (batch normalisation) or those of each row (layer)."""
        if running is not None:
            z.sub_(running[0]).mul_(torch.rsqrt(running[1] + EPSILON))
        else:
            z.sub_(self._over_units(z))
            z.mul_(torch.rsqrt(self._over_units((z * self._units).square_()) + EPSILON)).mul_(self._units)
        z.mul_(scale).add_(shift)

    def backward(
        self, gradient: Tensor, weights: Tensor, scale: Tensor, scale_gradient: Tensor, shift_gradient: Tensor
    ) -> None:
        """Turn the gradient with respect to the result into the one with respect to z, in place.

        `scale_gradient` and `shift_gradient` receive the gradients of the parameters, (members, units, 1).
        """
        torch.sum(gradient, dim=2, keepdim=True, out=shift_gradient)
        torch.sum(gradient * self._x_hat, dim=2, keepdim=True, out=scale_gradient)
        gradient.mul_(scale)
        if self.over_rows:
            along = gradient.sum(dim=2, keepdim=True), (gradient * self._x_hat).sum(dim=2, keepdim=True)
            gradient.sub_(weights * along[0]).sub_(weights * self._x_hat * along[1])
        else:
            along = self._over_units(gradient), self._over_units(gradient * self._x_hat)
            gradient.sub_(along[0]).sub_(self._x_hat * along[1]).mul_(self._units)
        gradient.mul_(self._inverse)

    def _mean(self, z: Tensor, weights: Tensor) -> Tensor:
        if self.over_rows:
            return (z * weights).sum(dim=2, keepdim=True)
        return self._over_units(z * self._units)

    def _over_units(self, values: Tensor) -> Tensor:
        return torch.bmm(self._average, values)[:, :1]
