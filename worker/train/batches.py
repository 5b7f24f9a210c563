"""Make the batches of an epoch for a pack's steps; they depend on the streams, not on the pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.schedules import average_shares, course, factors, plateau_factor
from foldstep.models.streams import Stream
from foldstep.worker.feed.augment import Augmentation, Draws, Fed, augmented
from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.fold import DeviceFold
from foldstep.worker.feed.shapes import effective_batch, n_batches
from foldstep.worker.train.member import Member


class Batches:
    """The batches of a pack.

    Args:
        members: the members of the pack, in its order.
        groups: seed, index of the fold (from 0), data and augmentation of each data group.
        streams: the streams whose noise the members use.
        noise_layers: 1 + hidden layers, or 0 if no member drops units.
        dtype: type of the numbers.

    Attributes:
        noise_kinds: the parts whose gradients get noise, see `GradientNoise.kinds`; to be set before the first epoch.
    """

    def __init__(
        self,
        members: Sequence[Member],
        groups: Sequence[tuple[int, int, DeviceFold, Augmentation]],
        streams: Sequence[Stream],
        noise_layers: int,
        dtype: torch.dtype,
    ) -> None:
        self._members, self._groups, self._streams, self._noise_layers = members, groups, streams, noise_layers
        self._dtype = dtype
        self.noise_kinds: Sequence[tuple[int, str]] = ()
        fold = groups[0][2]
        self._device = fold.x_train.device
        self.n_rows = effective_batch(members[0].hp, fold.n_train)
        self.n_steps = n_batches(fold.n_train, self.n_rows)
        self._with_offsets = any(m.hp.link == "log" for m in members)
        self._rates = np.empty((self.n_steps, len(members), 1))
        self._is_steady = [False] * len(members)
        every = [m.hp for m in members]
        self._has_drops = any(hp.dropout_schedule != "constant" for hp in every) and noise_layers > 0
        self._has_decays = any(hp.decay_schedule != "constant" for hp in every)
        self._has_averages = any(hp.swa_start for hp in every)

    def of(self, epoch: int, columns: int) -> EpochBatches:
        """Make the batches of an epoch (1 for the first), each filled up to `columns` columns."""
        inputs, targets, weights, shares = [], [], [], []
        for seed, fold_index, fold, augmentation in self._groups:
            stream = Stream(seed, fold_index, self._members[0].hp.batch_size)
            rows, share, weight = self._rows_of(stream, fold, epoch, columns)
            x = fold.x_train.index_select(0, rows.flatten()).view(self.n_steps, columns, -1)
            target = fold.targets(rows, weight, with_offsets=self._with_offsets)
            if augmentation.is_on:
                is_real = rows.cpu().numpy() < fold.n_train
                fed = Fed(x, target, weight)
                x, target, weight = augmented(augmentation, Draws(stream, epoch, is_real), fed, fold.data)
            inputs.append(x)
            targets.append(target)
            weights.append(weight)
            shares.append(share)
        dropout = self._dropout_keys(epoch) if self._noise_layers else None
        is_weighted = any(fold.row_weights is not None for _, _, fold, _ in self._groups)
        return EpochBatches(
            inputs,
            torch.stack(targets, 1),
            torch.stack(weights, 1),
            dropout,
            self._rates_of(epoch),
            drops=self._courses(epoch, self._drops_of, torch.float64) if self._has_drops else None,
            decays=self._courses(epoch, self._decays_of, self._dtype) if self._has_decays else None,
            averages=self._courses(epoch, self._averages_of, self._dtype) if self._has_averages else None,
            shares=torch.stack(shares, 1) if is_weighted else None,
            gradient_keys=self._gradient_keys(epoch) if self.noise_kinds else None,
        )

    def _courses(self, epoch: int, of: Callable[[Hyperparameters, int], np.ndarray], dtype: torch.dtype) -> Tensor:
        """Compute one number for each step and member, (steps, members, 1)."""
        numbers = np.stack([of(_at_leg(member, epoch), epoch) for member in self._members], axis=1)
        return torch.from_numpy(numbers).to(self._device, dtype).unsqueeze(2)

    def _drops_of(self, hp: Hyperparameters, epoch: int) -> np.ndarray:
        return course(hp.dropout_schedule, hp, epoch, self.n_steps)

    def _decays_of(self, hp: Hyperparameters, epoch: int) -> np.ndarray:
        return course(hp.decay_schedule, hp, epoch, self.n_steps)

    def _averages_of(self, hp: Hyperparameters, epoch: int) -> np.ndarray:
        return average_shares(hp, epoch, self.n_steps)

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
        course_of_rates = factors(_at_leg(member, epoch), epoch, self.n_steps, plateau)
        return hp.base_lr * member.progress.rate_factor * course_of_rates

    def _rows_of(self, stream: Stream, fold: DeviceFold, epoch: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the row indices, shares and weights of an epoch's batches, (steps, columns) each."""
        n_rows = effective_batch(self._members[0].hp, fold.n_train)  # differs if folds are smaller than a batch
        per_batch = np.full(self.n_steps * n_rows, fold.n_train)
        per_batch[: fold.n_train] = stream.order(fold.n_train, epoch)
        rows = np.full((self.n_steps, columns), fold.n_train)
        rows[:, :n_rows] = per_batch.reshape(self.n_steps, n_rows)
        is_real = rows < fold.n_train
        shares = is_real / is_real.sum(axis=1, keepdims=True)
        weights = shares if fold.row_weights is None else shares * fold.row_weights[rows]
        share, weight = (torch.from_numpy(part).to(self._device, self._dtype) for part in (shares, weights))
        return torch.from_numpy(rows).to(self._device), share, weight

    def _gradient_keys(self, epoch: int) -> Tensor:
        keys = np.stack(
            [[s.gradient_keys(*kind, epoch, self.n_steps) for s in self._streams] for kind in self.noise_kinds]
        )  # (kinds, streams, steps, 2)
        return torch.from_numpy(keys.transpose(2, 0, 1, 3).copy()).to(self._device)

    def _dropout_keys(self, epoch: int) -> Tensor:
        keys = np.stack(
            [[s.dropout_keys(layer, epoch, self.n_steps) for s in self._streams] for layer in range(self._noise_layers)]
        )  # (layers, streams, steps, 2)
        return torch.from_numpy(keys.transpose(2, 0, 1, 3).copy()).to(self._device)[..., None, None]


def _at_leg(member: Member, epoch: int) -> Hyperparameters:
    """Find a member's hyperparameters at an epoch, with the number of epochs of its leg."""
    return replace(member.hp, epochs=member.epochs_at(epoch)) if member.legs else member.hp


def _is_steady(hp: Hyperparameters) -> bool:
    """Tell whether a member's learning rate is the same in all steps of its training."""
    return SCHEDULES[hp.schedule].moves == "never" and not hp.warmup_epochs and hp.on_divergence != "restart"
