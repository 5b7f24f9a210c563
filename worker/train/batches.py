"""Make the batches of an epoch for a pack's steps; they depend on the streams, not on the pack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.noise import Stream
from foldstep.models.schedules import factors, plateau_factor
from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.fold import DeviceFold
from foldstep.worker.feed.shapes import effective_batch, n_batches
from foldstep.worker.train.member import Member


class Batches:
    """The batches of a pack.

    Args:
        members: the members of the pack, in its order.
        groups: seed, index of the fold (from 0) and data of each data group.
        streams: the streams whose noise the members use.
        noise_layers: 1 + hidden layers, or 0 if no member drops units.
        dtype: type of the numbers.
    """

    def __init__(
        self,
        members: Sequence[Member],
        groups: Sequence[tuple[int, int, DeviceFold]],
        streams: Sequence[Stream],
        noise_layers: int,
        dtype: torch.dtype,
    ) -> None:
        self._members, self._groups, self._streams, self._noise_layers = members, groups, streams, noise_layers
        self._dtype = dtype
        fold = groups[0][2]
        self._device = fold.x_train.device
        self.n_rows = effective_batch(members[0].hp, fold.n_train)
        self.n_steps = n_batches(fold.n_train, self.n_rows)
        self._with_offsets = any(m.hp.link == "log" for m in members)
        self._rates = np.empty((self.n_steps, len(members), 1))
        self._is_steady = [False] * len(members)

    def of(self, epoch: int, columns: int) -> EpochBatches:
        """Make the batches of an epoch (1 for the first), each filled up to `columns` columns."""
        inputs, targets, weights = [], [], []
        for seed, fold_index, fold in self._groups:
            stream = Stream(seed, fold_index, self._members[0].hp.batch_size)
            rows, weight = self._rows_of(stream, fold, epoch, columns)
            inputs.append(fold.x_train.index_select(0, rows.flatten()).view(self.n_steps, columns, -1))
            targets.append(fold.targets(rows, weight, with_offsets=self._with_offsets))
            weights.append(weight)
        dropout = self._dropout_keys(epoch) if self._noise_layers else None
        return EpochBatches(inputs, torch.stack(targets, 1), torch.stack(weights, 1), dropout, self._rates_of(epoch))

    def _rates_of(self, epoch: int) -> Tensor:
        for i, member in enumerate(self._members):
            if not self._is_steady[i]:
                self._rates[:, i, 0] = self._rates_of_member(member, epoch)
                self._is_steady[i] = _is_steady(member.hp)
        # a copy, so that returned rates do not change later
        return torch.tensor(self._rates, device=self._device, dtype=self._dtype)

    def _rates_of_member(self, member: Member, epoch: int) -> np.ndarray:
        hp = member.hp
        plateau = plateau_factor(hp, member.progress.is_better) if SCHEDULES[hp.schedule].moves == "by_score" else 1.0
        leg = replace(hp, epochs=member.epochs_at(epoch)) if member.legs else hp
        return hp.base_lr * member.progress.rate_factor * factors(leg, epoch, self.n_steps, plateau)

    def _rows_of(self, stream: Stream, fold: DeviceFold, epoch: int, columns: int) -> tuple[Tensor, Tensor]:
        """Compute the row indices and weights of an epoch's batches, (steps, columns) each."""
        n_rows = effective_batch(self._members[0].hp, fold.n_train)  # differs if folds are smaller than a batch
        per_batch = np.full(self.n_steps * n_rows, fold.n_train)
        per_batch[: fold.n_train] = stream.order(fold.n_train, epoch)
        rows = np.full((self.n_steps, columns), fold.n_train)
        rows[:, :n_rows] = per_batch.reshape(self.n_steps, n_rows)
        is_real = rows < fold.n_train
        weights = is_real / is_real.sum(axis=1, keepdims=True)
        return torch.from_numpy(rows).to(self._device), torch.from_numpy(weights).to(self._device, self._dtype)

    def _dropout_keys(self, epoch: int) -> Tensor:
        keys = np.stack(
            [[s.dropout_keys(layer, epoch, self.n_steps) for s in self._streams] for layer in range(self._noise_layers)]
        )  # (layers, streams, steps, 2)
        return torch.from_numpy(keys.transpose(2, 0, 1, 3).copy()).to(self._device)[..., None, None]


def _is_steady(hp: Hyperparameters) -> bool:
    """Tell whether a member's learning rate is the same in all steps of its training."""
    return SCHEDULES[hp.schedule].moves == "never" and not hp.warmup_epochs and hp.on_divergence != "restart"
