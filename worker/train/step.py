"""One pack on one device: its data, its epochs of lockstep steps, its evaluation.

Nothing here decides anything: which member is better or done is the business of `loop`. Inside an epoch the
host waits for the device nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.averaging import WeightAverage
from models.layout import Layout, Slot
from models.losses import PackedLoss
from models.metrics import score_classes, score_values
from models.noise import Stream
from models.optim import PackedOptimizer
from models.packed import Batch, PackedFNN, Workspace
from models.schedules import factors, plateau_factor
from models.stack import MemberRows, Stack, Weights
from service.contract.spec import Task
from worker.data.inputs import FoldData
from worker.train.pack import (
    EVALUATION_COLUMNS,
    Member,
    TrainingState,
    columns_of,
    effective_batch,
    n_batches,
)
from worker.train.probe import Probe
from worker.train.sample import Part, Sample
from worker.train.snapshot import Snapshot

Group: TypeAlias = tuple[int, str, str]
"""A fold, a scaler and a link: what makes preprocessed data."""


def group_of(member: Member) -> Group:
    """The data that a member reads."""
    return (member.fold, member.hp.scaler, member.hp.link)


class DeviceFold:
    """One fold's data on the device, padded to whole kernels.

    Attributes:
        x_train: (training rows + 1, padded inputs); the last row is zero and fills up short batches.
        x_valid: (chunks, EVALUATION_COLUMNS, padded inputs).
        valid: the truth of the validation rows.
    """

    def __init__(self, data: FoldData, n_inputs_padded: int, dtype: torch.dtype, device: torch.device) -> None:
        self.data = data
        self.n_train, self.n_valid = len(data.y_train), len(data.y_valid)
        self.x_train = torch.zeros(self.n_train + 1, n_inputs_padded, dtype=dtype)
        self.x_train[:-1, : data.n_inputs] = torch.from_numpy(data.x_train.copy())
        chunks = n_batches(self.n_valid, EVALUATION_COLUMNS)
        x_valid = torch.zeros(chunks * EVALUATION_COLUMNS, n_inputs_padded, dtype=dtype)
        x_valid[: self.n_valid, : data.n_inputs] = torch.from_numpy(data.x_valid.copy())
        self.x_valid = x_valid.view(chunks, EVALUATION_COLUMNS, -1).to(device)
        self.x_train = self.x_train.to(device)
        self.y_train = torch.from_numpy(data.y_train.copy()).to(device)
        y_valid = torch.from_numpy(data.y_valid.copy()).to(device)
        self.valid = Part(data.target, y_valid, _on_device(data.exposure_valid, device))
        self._exposure_train = _on_device(data.exposure_train, device)
        self._offsets = torch.full((self.n_train,), data.target.mean, dtype=torch.float64, device=device)
        if self._exposure_train is not None:
            self._offsets += self._exposure_train.log()

    @cached_property
    def sample(self) -> Sample:
        """The training rows that the diagnostics look at."""
        target = self.data.target
        y = self.y_train.double() * target.scale + target.mean if target.standardises else self.y_train
        return Sample(self.x_train, Part(target, y, self._exposure_train))

    def targets(self, rows: Tensor, weights: Tensor, *, with_offsets: bool) -> Tensor:
        """Training targets of some rows, as the loss wants them.

        Args:
            rows: (steps, columns) row numbers; `n_train` for a filling column.
            weights: (steps, columns).
            with_offsets: whether a member of the pack learns the log of a count.

        Returns:
            (steps, classes, columns), each column's weight at its class; or (steps, 1, columns) values, with
            offsets (steps, 2, columns).
        """
        real = rows.clamp(max=self.n_train - 1)
        if self.data.target.classes is None:
            channels = (self.y_train, self._offsets) if with_offsets else (self.y_train,)
            return torch.stack([c[real].to(self.x_train.dtype) for c in channels], dim=1)
        targets = weights.new_zeros(rows.shape[0], self.data.n_outputs, rows.shape[1])
        return targets.scatter_(1, self.y_train[real].unsqueeze(1), weights.unsqueeze(1))


def _on_device(values: npt.NDArray[np.float64] | None, device: torch.device) -> Tensor | None:
    return None if values is None else torch.from_numpy(values.copy()).to(device)


@dataclass(frozen=True)
class _EpochBatches:
    """An epoch's batches: per group inputs (steps, columns, inputs) and targets; weights (steps, groups, columns)."""

    inputs: list[Tensor]
    targets: Tensor
    weights: Tensor
    dropout: Tensor | None
    rates: Tensor  # (steps, members, 1)


class PackTrainer:
    """Trains the members of one pack in lockstep.

    Args:
        members: all at the same epoch, with equal `pack_key`s.
        folds: the device data of every group that they read.
        metric: name of the validation metric.
        dtype: float32, or float64 in tests.
        device: where to train.
        probing: what looks at the members while they train.
    """

    def __init__(
        self,
        members: Sequence[Member],
        folds: Mapping[Group, DeviceFold],
        metric: str,
        dtype: torch.dtype,
        device: torch.device,
        probing: Callable[..., Probe] = Probe,
    ) -> None:
        self._groups = sorted({(m.hp.seed, group_of(m)) for m in members})
        self._folds = [folds[group] for _, group in self._groups]
        self._metric, self._device = metric, device
        by_key = {m.key: m for m in members}
        layout = Layout([self._slot(m) for m in members], self._folds[0].data.n_outputs)
        self.members = [by_key[s.key] for s in layout.slots]
        self.net = PackedFNN(layout, dtype, device)
        n_rows = effective_batch(self.members[0].hp, self._folds[0].n_train)
        self._columns = columns_of(n_rows)
        self._n_steps = n_batches(self._folds[0].n_train, n_rows)
        self.optimizer = PackedOptimizer(self.net, step_count=self.members[0].progress.epoch * self._n_steps)
        self.average = WeightAverage(self.net) if any(m.hp.ema_decay for m in self.members) else None
        self.best = Stack(layout, dtype, device, statistics=True)
        self._loss, seen_loss = (
            PackedLoss(layout, self._task, self._class_weights(), dtype, device, smoothed=smoothed)
            for smoothed in (True, False)
        )
        self._group_of = torch.tensor([s.group for s in layout.slots], device=device)
        self.diagnostics = probing(self.net, self.members, self._folds, self._n_steps, n_rows, seen_loss, self._score)
        self.net.initialise()
        self._snapshot = self._load()

    @property
    def n_steps(self) -> int:
        """Steps an epoch."""
        return self._n_steps

    def _slot(self, member: Member) -> Slot:
        group = self._groups.index((member.hp.seed, group_of(member)))
        stream = Stream(member.hp.seed, member.fold, member.hp.batch_size)
        return Slot(member.key, member.hp, group, stream, self._folds[group].data.n_inputs)

    @property
    def _task(self) -> Task:
        return "regression" if self._folds[0].data.target.classes is None else "classification"

    def _class_weights(self) -> list[npt.NDArray[np.float64] | None]:
        datas = [self._folds[s.group].data for s in self.net.layout.slots]
        return [
            data.target.class_weights(m.hp.class_weight, data.y_train)
            for m, data in zip(self.members, datas, strict=True)
        ]

    def _load(self) -> Snapshot | None:
        """Put every member where it stands; where some may restart, remember where they would go back to."""
        states = [(i, m.state) for i, m in enumerate(self.members) if m.state is not None]
        for i, state in states:
            self._put(i, state.good or state)
        if all(m.hp.on_divergence == "stop" for m in self.members):
            return None
        snapshot = Snapshot(self._changing())
        for i, state in states:
            self._put(i, state)
        return snapshot

    def _changing(self) -> list[MemberRows]:
        weights = [self.net.parameters, *([self.average.weights] if self.average is not None else [])]
        return [r for stack in weights for r in stack.member_rows(self.net.layout)] + self.optimizer.member_rows()

    def _put(self, i: int, state: TrainingState) -> None:
        self.net.parameters.put(self.net.layout, i, state.parameters)
        self.best.put(self.net.layout, i, state.best)
        self.optimizer.put(i, state.optimizer)
        if self.average is not None and state.average is not None:
            self.average.weights.put(self.net.layout, i, state.average)

    # -- training -----------------------------------------------------------------------------------------

    @cached_property
    def _space(self) -> Workspace:
        return self.net.workspace(self._columns, training=True)

    def train_epoch(self, epoch: int) -> Tensor:
        """One pass over the training rows.

        Args:
            epoch: 1 for the first.

        Returns:
            Mean loss of each member over the epoch's steps, (members,), on the device.
        """
        batches = self._batches(epoch)
        total = torch.zeros(len(self.members), dtype=self.net.dtype, device=self._device)
        self.diagnostics.begin(epoch)
        for step in range(self._n_steps):
            total += self._step(step, batches, is_first=epoch == 1 and step == 0)
        return total / self._n_steps

    def probe(self, epoch: int) -> Callable[[], Tensor]:
        """The first step of an epoch without its update: what it is called for, nothing but the gradients changes.

        Returns:
            A pass forward and backward over always the same batch with the same noise. It returns each member's loss,
            (members,), and leaves the gradients in `net.gradients` and the units in `activations`.
        """
        batches = self._batches(epoch)
        return lambda: self._pass(0, batches)

    @property
    def activations(self) -> list[Tensor]:
        """For each hidden layer (members with it, padded width, columns), of the last pass; before dropout."""
        return self._space.hidden

    def _step(self, step: int, batches: _EpochBatches, *, is_first: bool) -> Tensor:
        loss = self._pass(step, batches)
        is_probed = self.diagnostics.is_on and step == self._n_steps - 1
        if is_probed:
            self.diagnostics.before_step()
        self.optimizer.rates = batches.rates[step]
        self.optimizer.step(loss)
        if is_probed:
            self.diagnostics.after_step()
        if self.average is not None:
            if is_first:
                self.average.start()
            else:
                self.average.update()
        return loss

    def _pass(self, step: int, batches: _EpochBatches) -> Tensor:
        space, n_outputs = self._space, self.net.layout.n_outputs
        weights = batches.weights[step].index_select(0, self._group_of).unsqueeze(1)
        dropout = batches.dropout[step] if batches.dropout is not None else None
        batch = Batch([x[step] for x in batches.inputs], weights, dropout)
        outputs = self.net.forward(batch, space)[:, :n_outputs]
        targets = batches.targets[step].index_select(0, self._group_of)
        loss = self._loss(outputs, targets, weights, space.output_delta[:, :n_outputs])
        self.net.backward(batch, space)
        return loss

    def _batches(self, epoch: int) -> _EpochBatches:
        inputs, targets, weights = [], [], []
        with_offsets = any(m.hp.link == "log" for m in self.members)
        for (seed, (fold_index, *_)), fold in zip(self._groups, self._folds, strict=True):
            stream = Stream(seed, fold_index, self.members[0].hp.batch_size)
            rows, weight = self._rows_of(stream, fold, epoch)
            x = fold.x_train.index_select(0, rows.flatten())
            inputs.append(x.view(self._n_steps, self._columns, -1))
            targets.append(fold.targets(rows, weight, with_offsets=with_offsets))
            weights.append(weight)
        dropout = self._dropout_keys(epoch) if self.net.drops else None
        return _EpochBatches(inputs, torch.stack(targets, 1), torch.stack(weights, 1), dropout, self._rates(epoch))

    def _rates(self, epoch: int) -> Tensor:
        """(steps, members, 1): each member's learning rate at each step of an epoch."""
        rates = np.empty((self._n_steps, len(self.members), 1))
        for i, member in enumerate(self.members):
            hp = member.hp
            plateau = plateau_factor(hp, member.progress.is_better) if hp.schedule == "plateau" else 1.0
            rate = hp.base_lr * member.progress.rate_factor
            leg = replace(hp, epochs=member.epochs_at(epoch)) if member.legs else hp
            rates[:, i, 0] = rate * factors(leg, epoch, self._n_steps, plateau)
        return torch.from_numpy(rates).to(self._device, self.net.dtype)

    def _rows_of(self, stream: Stream, fold: DeviceFold, epoch: int) -> tuple[Tensor, Tensor]:
        """Row numbers and weights of an epoch's batches, (steps, columns) each."""
        n_rows = effective_batch(self.members[0].hp, fold.n_train)  # folds smaller than a batch differ in it
        per_batch = np.full(self._n_steps * n_rows, fold.n_train)
        per_batch[: fold.n_train] = stream.order(fold.n_train, epoch)
        rows = np.full((self._n_steps, self._columns), fold.n_train)
        rows[:, :n_rows] = per_batch.reshape(self._n_steps, n_rows)
        is_real = rows < fold.n_train
        weights = is_real / is_real.sum(axis=1, keepdims=True)
        return (
            torch.from_numpy(rows).to(self._device),
            torch.from_numpy(weights).to(self._device, self.net.dtype),
        )

    def _dropout_keys(self, epoch: int) -> Tensor:
        """(steps, 1 + hidden layers, streams, 2, 1, 1) int32; the first is for the inputs."""
        layers = range(1 + self.net.layout.depth)
        keys = np.stack(
            [[s.dropout_keys(layer, epoch, self._n_steps) for s in self.net.streams] for layer in layers]
        )  # (layers, streams, steps, 2)
        return torch.from_numpy(keys.transpose(2, 0, 1, 3).copy()).to(self._device)[..., None, None]

    # -- evaluation ---------------------------------------------------------------------------------------

    @cached_property
    def _evaluation_space(self) -> Workspace:
        return self.net.workspace(EVALUATION_COLUMNS, training=False)

    @cached_property
    def _outputs(self) -> Tensor:
        """Room for the outputs of all validation rows, (members, outputs, columns)."""
        n_columns = self._folds[0].x_valid.shape[:2].numel()
        shape = (len(self.members), self.net.layout.n_outputs, n_columns)
        return torch.empty(shape, dtype=self.net.dtype, device=self._device)

    @property
    def scored_weights(self) -> Stack:
        """The weights that are scored and kept: their running average for members that have one."""
        return self.average.weights if self.average is not None else self.net.parameters

    def evaluate(self) -> Tensor:
        """The validation score of each member, (members,) float64, in the user's units; the probe looks along."""
        n_outputs = self.net.layout.n_outputs
        weights = self.scored_weights
        for i, chunk in enumerate(torch.split(self._outputs, EVALUATION_COLUMNS, dim=2)):
            inputs = [f.x_valid[i] for f in self._folds]
            chunk.copy_(self.net.evaluate(inputs, self._evaluation_space, weights)[:, :n_outputs])
        outputs = self._outputs
        scores = torch.empty(len(self.members), dtype=torch.float64, device=self._device)
        for group, run in self.net.layout.group_runs:
            scores[run.members] = self._score(self._folds[group].valid, outputs[run.members])
        self.diagnostics.validated(outputs)
        if self.diagnostics.is_on:
            self.diagnostics.look(self._evaluation_space, weights)
        return scores

    def _score(self, part: Part, outputs: Tensor) -> Tensor:
        outputs = outputs[:, :, : len(part.truth)]
        if part.coder.classes is not None:
            return score_classes(self._metric, outputs, part.truth)
        return score_values(self._metric, part.predictions(outputs[:, 0]), part.truth)

    # -- members out --------------------------------------------------------------------------------------

    def keep_best(self, is_best: Tensor) -> None:
        """Remember the present weights of some members as their best, and where they stand if they may restart.

        Args:
            is_best: (members,) bool.
        """
        for now, best in zip(self.scored_weights.parts, self.best.parts, strict=True):
            rows = self.net.layout.blocks[now.block].run.members
            torch.where(is_best[rows].unsqueeze(1), now.flat, best.flat, out=best.flat)
        if self._snapshot is not None:
            self._snapshot.take(is_best)

    def best_of(self, i: int) -> Weights:
        """The best weights of member `i`, without padding."""
        return self.best.take(self.net.layout, i)

    def states_of(self, which: Sequence[int]) -> list[TrainingState]:
        """Everything that some members need to go on elsewhere."""
        goods = self.good_states_of(which) if self._snapshot is not None else [None] * len(which)
        return [replace(self._state_of(i), good=good) for i, good in zip(which, goods, strict=True)]

    def good_states_of(self, which: Sequence[int]) -> list[TrainingState]:
        """Where some members, whose `on_divergence` is restart, stood at their best epoch."""
        assert self._snapshot is not None
        with self._snapshot.restored():
            return [self._state_of(i) for i in which]

    def _state_of(self, i: int) -> TrainingState:
        layout = self.net.layout
        return TrainingState(
            parameters=self.net.parameters.take(layout, i),
            best=self.best.take(layout, i),
            optimizer=self.optimizer.take(i),
            average=self.average.weights.take(layout, i) if self.average is not None else None,
        )
