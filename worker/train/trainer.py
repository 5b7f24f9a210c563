"""Train one pack on one device: its data, its epochs of steps in lockstep, its evaluation.

Which member is better or has ended is decided in `loop`, not here. Within an epoch the host does not wait for the
device, except when a fast way to take steps is compared with the plain way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import Tensor

from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.tasks import Task
from foldstep.models.class_numbers import ClassNumbers
from foldstep.models.eager.averaging import WeightAverage
from foldstep.models.eager.losses import PackedLoss
from foldstep.models.eager.optim import PackedOptimizer
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.layout import Layout, Slot
from foldstep.models.stack import MemberRows, Stack
from foldstep.models.streams import Stream
from foldstep.models.weights import Weights
from foldstep.worker.feed.augment import Augmentation, augmentation_of
from foldstep.worker.feed.fold import DeviceFold
from foldstep.worker.feed.validation import Validation
from foldstep.worker.steps.backend import steps_of
from foldstep.worker.steps.eager import EagerSteps
from foldstep.worker.steps.engine import Engine
from foldstep.worker.steps.parts import PackParts
from foldstep.worker.steps.protocol import Steps
from foldstep.worker.train.batches import Batches
from foldstep.worker.train.member import Member, Snapshot
from foldstep.worker.train.probe import Probe
from foldstep.worker.train.rollback import Rollback

Group: TypeAlias = tuple[int, Preparation]
"""The key of preprocessed data: the fold and how it is prepared."""


def group_of(member: Member) -> Group:
    """Find the key of the preprocessed data that a member reads."""
    return (member.fold, member.hp.preparation)


def _group_key(member: Member) -> tuple[int, Group, Augmentation]:
    """Find the key of the data group in its pack: members with equal keys read the same batches."""
    return (member.hp.seed, group_of(member), augmentation_of(member.hp))


class PackTrainer:
    """The training of one pack, whose members take their steps in lockstep.

    Args:
        members: members at the same epoch, with equal `shape_key`.
        folds: the data on the device, for every group that they read.
        metric: name of the validation metric.
        engine: the device and its settings.
        probing: makes the probe that measures diagnostics of the members.

    Attributes:
        members: the members, in the order of the layout.
        backend: the backend of their steps.
        epoch_s: wall time of the last epoch, in seconds.
    """

    def __init__(
        self,
        members: Sequence[Member],
        folds: Mapping[Group, DeviceFold],
        metric: str,
        engine: Engine,
        probing: Callable[..., Probe] = Probe,
    ) -> None:
        dtype, device = engine.dtype, engine.device
        self._groups = sorted({_group_key(m) for m in members})
        self._folds = [folds[group] for _, group, _ in self._groups]
        by_key = {m.key: m for m in members}
        layout = Layout([self._slot(m) for m in members], self._folds[0].data.n_outputs)
        self.members = [by_key[s.key] for s in layout.slots]
        may_overflow = [m.hp.link == "log" or m.hp.target_transform != "none" for m in self.members]
        self._may_overflow = torch.tensor(may_overflow, device=device)
        self.net = PackedFNN(layout, dtype, device)
        groups = [
            (seed, group[0], fold, augmentation)
            for (seed, group, augmentation), fold in zip(self._groups, self._folds, strict=True)
        ]
        noise_layers = 1 + layout.depth if self.net.drops else 0
        self._batches = Batches(self.members, groups, self.net.streams, noise_layers, dtype)
        self.optimizer = PackedOptimizer(self.net, step_count=self.members[0].progress.epoch * self.n_steps)
        self._batches.noise_kinds = self.optimizer.noise.kinds if self.optimizer.noise is not None else ()
        self.average = WeightAverage(self.net) if any(m.hp.ema_decay or m.hp.swa_start for m in self.members) else None
        self.best = Stack(layout, dtype, device, statistics=True)
        of_classes, n_rows = self._of_classes(), self._batches.n_rows
        levels = self._folds[0].data.target.quantiles
        loss, seen_loss = (
            PackedLoss(layout, self._task, of_classes, dtype, device, levels, smoothed=smoothed)
            for smoothed in (True, False)
        )
        self._validation = Validation(self._folds, layout, metric, seen_loss, dtype)
        n_targets = self._folds[0].data.target.n_targets
        self.backend = engine.backend(self.members[0].hp, layout.slots[0].n_inputs, layout.n_outputs, n_targets)
        parts = PackParts(self.net, self.optimizer, self.average, self.best, of_classes, levels, n_rows, self._task)
        self._eager = EagerSteps(parts, loss)
        self._steps = steps_of(self.backend, parts, self._eager, engine)
        shape = (self.n_steps, n_rows)
        self.diagnostics = probing(self.net, self.members, self._folds, *shape, seen_loss, metric)
        self.epoch_s = 0.0
        self.net.initialise([fold.data.x_train for fold in self._folds])
        self._rollback = self._load()

    @property
    def n_steps(self) -> int:
        """Number of steps in an epoch."""
        return self._batches.n_steps

    @property
    def may_go_back(self) -> bool:
        """Whether a member of the pack restarts if it diverges."""
        return self._rollback is not None

    @property
    def work(self) -> int:
        """Number of multiply-adds in the forward pass of one step, including padding."""
        blocks, slots = self.net.layout.blocks, self.net.layout.slots
        maps = [b.run.length + sum(b.is_hidden and s.hp.has_second for s in slots[b.run.members]) for b in blocks]
        return self._steps.columns * sum(n * b.n_out * b.n_in for n, b in zip(maps, blocks, strict=True))

    def _slot(self, member: Member) -> Slot:
        group = self._groups.index(_group_key(member))
        stream = Stream(member.hp.seed, member.fold, member.hp.batch_size)
        data = self._folds[group].data
        return Slot(member.key, member.hp, group, stream, data.columns, data.stage(member.hp))

    @property
    def _task(self) -> Task:
        return self._folds[0].data.target.task

    def _of_classes(self) -> list[ClassNumbers]:
        datas = [self._folds[s.group].data for s in self.net.layout.slots]
        return [
            ClassNumbers(
                data.target.class_weights(m.hp.class_weight, data.y_train),
                data.target.spread(m.hp.label_smoothing_to, data.y_train),
            )
            for m, data in zip(self.members, datas, strict=True)
        ]

    def _load(self) -> Rollback | None:
        """Load the members' snapshots; if some may restart, also copy the state to which they would go back."""
        snapshots = [(i, m.snapshot) for i, m in enumerate(self.members) if m.snapshot is not None]
        for i, snapshot in snapshots:
            self._put(i, snapshot.good or snapshot)
        if all(m.hp.on_divergence == "stop" for m in self.members):
            return None
        rollback = Rollback(self._changing())
        for i, snapshot in snapshots:
            self._put(i, snapshot)
        return rollback

    def _changing(self) -> list[MemberRows]:
        weights = [self.net.parameters, *([self.average.weights] if self.average is not None else [])]
        return [r for stack in weights for r in stack.member_rows(self.net.layout)] + self.optimizer.member_rows()

    def _put(self, i: int, snapshot: Snapshot) -> None:
        self.net.parameters.put(self.net.layout, i, snapshot.parameters)
        self.best.put(self.net.layout, i, snapshot.best)
        self.optimizer.put(i, snapshot.optimizer)
        if self.average is not None and snapshot.average is not None:
            self.average.weights.put(self.net.layout, i, snapshot.average)

    # -- training -----------------------------------------------------------------------------------------

    def train_epoch(self, epoch: int) -> Tensor:
        """Train one epoch: a pass over the training rows.

        Args:
            epoch: 1 for the first.

        Returns:
            Mean training loss of each member over the epoch's steps, (members,), on the device.
        """
        batches = self._batches.of(epoch, self._steps.columns)
        before = (epoch - 1) * self.n_steps
        self.diagnostics.begin(epoch)
        if not self.diagnostics.is_on:
            return self._steps.run(batches, range(self.n_steps), before) / self.n_steps
        last = range(self.n_steps - 1, self.n_steps)
        total = self._steps.run(batches, range(last.start), before)
        total += self._steps.run(batches, last, before, updates=False)
        self.diagnostics.before_step()
        self._steps.run(batches, last, before, passes=False)
        self.diagnostics.after_step()
        return total / self.n_steps

    def probe(self, epoch: int) -> Callable[[], Tensor]:
        """Make a function that computes the first step of an epoch without its update, for checks of the gradients.

        Returns:
            A function that runs a forward and a backward pass over always the same batch and noise. It returns
            each member's loss, (members,), and writes `net.gradients` and `activations`.
        """
        backends: list[Steps] = [self._eager, self._steps] if self.backend == "compiled" else [self._eager]
        fed = [(backend, self._batches.of(epoch, backend.columns)) for backend in backends]

        def one_pass() -> Tensor:
            return [backend.run(batches, range(1), 0, updates=False) for backend, batches in fed][-1]

        return one_pass

    @property
    def activations(self) -> list[Tensor]:
        """By hidden layer, (members with it, padded width, columns): activations before dropout in the last pass."""
        return self._eager.activations

    # -- evaluation ---------------------------------------------------------------------------------------

    @property
    def scored_weights(self) -> Stack:
        """The weights that are scored and kept as best: running averages for members that have them."""
        return self.average.weights if self.average is not None else self.net.parameters

    def evaluate(self) -> Tensor:
        """Score each member on its validation rows, (members,) float64, in the user's units; probe if that is due.

        Where undoing a link or a transform of the target overflows, the validation loss counts as infinite, too: it
        is finite in the outputs' unit, but the member has diverged.
        """
        found = self._steps.evaluate(self._validation)
        self.diagnostics.validated(found.losses.masked_fill(self._may_overflow & found.scores.isinf(), math.inf))
        if self.diagnostics.is_on:
            self.diagnostics.look(self._eager.evaluation_space, self.scored_weights)
        return found.scores

    @property
    def target_scores(self) -> list[list[float]]:
        """The scores of each of several targets at the last evaluation, for each member; none for one target."""
        found = self._validation.target_scores
        return [[] for _ in self.members] if found is None else found.tolist()

    # -- members out --------------------------------------------------------------------------------------

    def keep_best(self, is_best: Tensor) -> None:
        """Keep the present weights of some members as their best, and their whole state if members may restart.

        Args:
            is_best: (members,) bool, these members.
        """
        self._steps.keep_best(is_best)
        if self._rollback is not None:
            self._rollback.take(is_best)

    def best_of(self, i: int) -> Weights:
        """Read the best weights of member `i`, without padding."""
        return self.best.take(self.net.layout, i)

    def snapshots_of(self, which: Sequence[int]) -> list[Snapshot]:
        """Take the snapshots of the members with these indices, from which they can resume."""
        goods = self.good_snapshots_of(which) if self._rollback is not None else [None] * len(which)
        return [replace(self._snapshot_of(i), good=good) for i, good in zip(which, goods, strict=True)]

    def good_snapshots_of(self, which: Sequence[int]) -> list[Snapshot]:
        """Take the snapshots of members with these indices at their best epoch; `may_go_back` must hold."""
        assert self._rollback is not None
        with self._rollback.restored():
            return [self._snapshot_of(i) for i in which]

    def _snapshot_of(self, i: int) -> Snapshot:
        layout = self.net.layout
        return Snapshot(
            parameters=self.net.parameters.take(layout, i),
            best=self.best.take(layout, i),
            optimizer=self.optimizer.take(i),
            average=self.average.weights.take(layout, i) if self.average is not None else None,
        )
