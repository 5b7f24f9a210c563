"""Change the batches of a data group: mask inputs, and mix rows (mixup). All backends read the result.

Members with the same data, seed, `input_mask` and `mixup` read the same batches. Everything is drawn from the stream,
so it depends neither on the pack nor on the epoch from which a training resumes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.streams import MASKING, MIXING, Stream
from foldstep.worker.data.inputs import FoldData


@dataclass(frozen=True, order=True)
class Augmentation:
    """What changes the batches of a data group; see the hyperparameters of these names."""

    input_mask: float = 0.0
    mixup: float = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything is changed."""
        return self.input_mask > 0 or self.mixup > 0


def augmentation_of(hp: Hyperparameters) -> Augmentation:
    """Find the augmentation of a member's batches."""
    return Augmentation(hp.input_mask, hp.mixing)


@dataclass(frozen=True)
class Draws:
    """The random numbers of an epoch.

    Attributes:
        stream: their source.
        epoch: 1 for the first.
        is_real: (steps, columns) bool: whether a column is a row of the batch.
    """

    stream: Stream
    epoch: int
    is_real: np.ndarray

    def partners(self, purpose: int) -> np.ndarray:
        """Draw for each row another row of its batch, (steps, columns); a column that fills it up is its own partner.

        The rows of a batch form one cycle in random order, so no row of a batch of several is its own partner.
        """
        n_steps, columns = self.is_real.shape
        found = np.tile(np.arange(columns), (n_steps, 1))
        for step, n_rows in enumerate(self.is_real.sum(axis=1)):
            cycle = self.stream.generator(purpose, self.epoch, step).permutation(n_rows)
            found[step, cycle] = np.roll(cycle, -1)
        return found

    def mixing_shares(self, alpha: float) -> np.ndarray:
        """Draw each step's share of the own row, (steps,), from Beta(alpha, alpha)."""
        shares = self.stream.generator(MIXING, self.epoch).beta(alpha, alpha, len(self.is_real))
        return np.nan_to_num(shares, nan=1.0)  # an alpha of almost 0 mixes nothing

    def masked(self, share: float, n_columns: int) -> np.ndarray:
        """Draw which columns of the table are masked in which rows, (steps, columns, n_columns) bool."""
        found = np.zeros((*self.is_real.shape, n_columns), dtype=bool)
        for step, n_rows in enumerate(self.is_real.sum(axis=1)):
            generator = self.stream.generator(MASKING, self.epoch, len(self.is_real) + step)
            found[step, :n_rows] = generator.random((n_rows, n_columns), dtype=np.float32) < share
        return found


class Fed(NamedTuple):
    """The batches of a data group: inputs (steps, columns, padded inputs), targets and weights of `EpochBatches`."""

    x: Tensor
    targets: Tensor
    weights: Tensor


def augmented(of: Augmentation, draws: Draws, fed: Fed, data: FoldData) -> Fed:
    """Mask inputs, then mix rows.

    Args:
        of: what to do.
        draws: the random numbers of the epoch.
        fed: the batches.
        data: the data of the fold.
    """
    x, targets, weights = fed
    if of.input_mask:
        sources = data.columns.sources  # the columns of a category are masked together, a number with its flag
        drawn = draws.masked(of.input_mask, max(sources, default=-1) + 1)
        is_masked = torch.from_numpy(drawn[..., sources]).to(x.device)
        mask = torch.zeros_like(x, dtype=torch.bool)
        mask[..., : data.n_inputs] = is_masked
        x = torch.where(mask, _of_partners(x, draws, MASKING), x)
    if of.mixup:
        shares = torch.from_numpy(draws.mixing_shares(of.mixup)).to(x.device, x.dtype).view(-1, 1, 1)
        x = _mixed_inputs(x, _of_partners(x, draws, MIXING), shares, data.columns.first_code)
        has_offsets = data.target.classes is None and not data.target.each and targets.shape[1] > 1
        targets = _mixed_targets(targets, shares, draws, has_offsets=has_offsets)
        if data.weight_train is not None:
            weights = _mixed(weights.unsqueeze(1), shares, draws).squeeze(1)
    return Fed(x, targets, weights)


def _of_partners(x: Tensor, draws: Draws, purpose: int) -> Tensor:
    partners = torch.from_numpy(draws.partners(purpose)).to(x.device)
    return x.gather(1, partners.unsqueeze(2).expand_as(x))


def _mixed_inputs(own: Tensor, others: Tensor, shares: Tensor, first_code: int) -> Tensor:
    """Mix inputs; codes of categories, which have nothing between them, are those of the row with the larger share."""
    mixed = shares * own + (1 - shares) * others
    nearer = torch.where(shares >= 0.5, own, others)
    mixed[..., first_code:] = nearer[..., first_code:]
    return mixed


def _mixed(values: Tensor, shares: Tensor, draws: Draws) -> Tensor:
    """Mix (steps, channels, columns) with those of the partners."""
    return shares * values + (1 - shares) * _of_mixing_partners(values, draws)


def _of_mixing_partners(values: Tensor, draws: Draws) -> Tensor:
    partners = torch.from_numpy(draws.partners(MIXING)).to(values.device).unsqueeze(1)
    return values.gather(2, partners.expand_as(values))


def _mixed_targets(targets: Tensor, shares: Tensor, draws: Draws, *, has_offsets: bool) -> Tensor:
    """Mix weights at classes and values by `shares`, and offsets so that exposures are mixed."""
    mixed = _mixed(targets, shares, draws)
    if has_offsets:
        own, others = targets[:, 1:], _of_mixing_partners(targets, draws)[:, 1:]
        mixed[:, 1:] = torch.logaddexp(own + shares.log(), others + (1 - shares).log())
    return mixed
