"""Train packs to their end: epochs, best weights, stopping, rebuilding packs without ended members, and snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import Protocol

import torch

from foldstep.models.catalog.backends import Backend
from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.layout import padded
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.feed.fold import DeviceFold
from foldstep.worker.feed.sample import sample_chunks
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS, FoldShape
from foldstep.worker.steps.compiled_scores import sums
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.in_flight import PackInFlight, PacksInFlight
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import UNLIMITED, Limits, Monitor, Oversight
from foldstep.worker.train.packer import member_bytes, plan_packs, split_largest
from foldstep.worker.train.probe import Probe
from foldstep.worker.train.trainer import Group, PackTrainer, group_of

SQUEEZE_SHARE = 1 / 8
"""A pack is rebuilt without its ended members once they are this share of it."""


class Folds(Protocol):
    """The source of the data that members train on."""

    def fold(self, index: int, how: Preparation) -> FoldData:
        """Load the data of fold `index` (from 0) as a preparation says."""


def is_live(member: Member, epoch: int) -> bool:
    """Tell whether a member still trains in its pack, which has trained `epoch` epochs.

    A member with fewer epochs has left the pack: it diverged, went back, and continues in another pack.
    """
    return not member.is_resting and member.progress.epoch == epoch


def _is_divided(trainer: PackTrainer, n_live: int, oversight: Oversight) -> bool:
    """Tell whether a pack trains on as two, because its epochs take too long between two snapshots.

    Only the compiled backend gains from this: it trains member by member, so half a pack takes half the time.
    """
    return n_live > 1 and trainer.backend == "compiled" and oversight.is_slow(trainer.epoch_s)


class Training:
    """The training of members of one search; it keeps the data on the device between packs and leases."""

    def __init__(self, source: Folds, metric: str, engine: Engine, probing: Callable[..., Probe] = Probe) -> None:
        self._source, self._metric, self._engine, self._probing = source, metric, engine, probing
        self._measured = METRICS[metric]
        self._folds: dict[tuple[Group, int], DeviceFold] = {}
        self._in_flight = PacksInFlight(engine.packs_in_flight, engine.device)

    def train(self, members: Iterable[Member], monitor: Monitor, limits: Limits = UNLIMITED) -> None:
        """Train every member until it ends or pauses, pack by pack.

        Members are changed in place. A member has its present `snapshot` afterwards if it pauses, if it has trained all
        its epochs with `keep_snapshot`, or if the training had to stop before it ended.

        Args:
            members: all members, in any order; those that have ended or paused are left out.
            monitor: is notified of every epoch and of every end.
            limits: limits of the training time.
        """
        everyone = list(members)
        for member in everyone:
            if member.is_resting:  # it ended under an earlier lease, and its result has the size, too
                member.n_parameters = self._n_parameters(member)
        unfinished = [m for m in everyone if not m.is_resting]
        oversight = Oversight(monitor, limits)
        while unfinished and not oversight.must_leave():
            self._in_flight.run(self._train_pack(pack, oversight) for pack in self.packs(unfinished))
            # members that diverged, left their packs and restart
            unfinished = [m for m in unfinished if not m.is_resting]

    def packs(self, members: Iterable[Member]) -> list[list[Member]]:
        """Divide the members into packs."""
        listed = list(members)
        shapes = {m.key: self._shape(m) for m in listed}
        n_outputs = self._source.fold(0, Preparation("none")).n_outputs if listed else 0
        engine = self._engine
        packs = plan_packs(listed, shapes, n_outputs, engine.pack_bytes, self._backend, engine.step_cost.overhead)
        return split_largest(packs, engine.packs_in_flight)

    def estimated_bytes(self, member: Member) -> int:
        """Estimate the memory of a member in bytes, in a pack of members with the same sizes."""
        shape, n_outputs = self._shape(member), self._source.fold(0, Preparation("none")).n_outputs
        sizes = [padded(size) for size in (shape.n_first, *member.hp.hidden, n_outputs)]
        return member_bytes(sizes, shape, member.hp, is_compiled=self._backend(member) == "compiled")

    def _backend(self, member: Member) -> Backend:
        data = self._source.fold(*group_of(member))
        return self._engine.backend(member.hp, data.n_inputs, data.n_outputs, data.target.n_targets)

    def _shape(self, member: Member) -> FoldShape:
        data = self._source.fold(*group_of(member))
        n_train = len(data.y_train)
        is_summed = self._backend(member) == "compiled" and sums(
            self._metric, data.target, is_weighted=data.weight_valid is not None
        )
        n_held = sample_chunks(n_train) * EVALUATION_COLUMNS if is_summed else None
        return FoldShape(n_train, len(data.y_valid), data.n_inputs, n_held, data.stage(member.hp))

    def _train_pack(self, pack: Sequence[Member], oversight: Oversight) -> PackInFlight:
        """Train a pack; if the device has no memory for it, train it as two packs, from the last snapshots."""
        for member in pack:
            member.remember()
        try:
            yield from self._train_to_end(pack, oversight)
            return
        except torch.cuda.OutOfMemoryError:
            if len(pack) == 1 and self._in_flight.is_alone:
                raise
        # only here, outside of the handler, nothing refers to the failed pack, so its memory is free
        torch.cuda.empty_cache()
        unfinished = [m for m in pack if not m.is_resting]
        for member in unfinished:
            member.go_back()
        if len(pack) == 1:
            yield False
        for part in (unfinished[: len(unfinished) // 2], unfinished[len(unfinished) // 2 :]):
            yield from self._train_pack(part, oversight)

    def _train_to_end(self, pack: Sequence[Member], oversight: Oversight) -> PackInFlight:
        live = oversight.without_dropped(pack)
        while live and not oversight.must_leave():
            trainer = self.trainer(live)
            yield from self._train_while_dense(trainer, oversight)
            epoch = max(m.progress.epoch for m in trainer.members)
            live = [m for m in trainer.members if is_live(m, epoch)]
            if _is_divided(trainer, len(live), oversight):
                for part in (live[: len(live) // 2], live[len(live) // 2 :]):
                    yield from self._train_to_end(part, oversight)
                return

    def trainer(self, members: Sequence[Member]) -> PackTrainer:
        """Make the trainer of one pack."""
        n_inputs = max(padded(self._shape(m).n_inputs) for m in members)
        for member in members:
            member.n_parameters = self._n_parameters(member)
        groups = {group_of(m) for m in members}
        folds = {group: self._device_fold(group, n_inputs) for group in groups}
        return PackTrainer(members, folds, self._metric, self._engine, self._probing)

    def _n_parameters(self, member: Member) -> int:
        return self._source.fold(*group_of(member)).n_parameters(member.hp)

    def _device_fold(self, group: Group, n_inputs: int) -> DeviceFold:
        key = (group, n_inputs)
        if key not in self._folds:
            data = self._source.fold(*group)
            self._folds[key] = DeviceFold(data, n_inputs, self._engine.dtype, self._engine.device)
            self._engine.wait()  # packs in other queues of the device read it, too
        return self._folds[key]

    def _train_while_dense(self, trainer: PackTrainer, oversight: Oversight) -> PackInFlight:
        """Train until enough members have ended to rebuild the pack, all have ended, or the training must stop."""
        oversight.saving.join(trainer)
        try:
            yield from self._train_epochs(trainer, oversight)
        except torch.cuda.OutOfMemoryError:
            oversight.saving.leave(trainer)
            raise
        oversight.saving.leave(trainer)

    def _train_epochs(self, trainer: PackTrainer, oversight: Oversight) -> PackInFlight:
        members = trainer.members
        epoch, live = members[0].progress.epoch, [True] * len(members)
        while True:
            epoch += 1
            yield from self._train_epoch(trainer, epoch, live, oversight)
            live = [is_live(m, epoch) for m in members]
            n_live = sum(live)
            dense = n_live and len(members) - n_live < max(1, SQUEEZE_SHARE * len(members))
            is_over = not dense or oversight.must_leave() or _is_divided(trainer, n_live, oversight)
            wants = oversight.saving.wants(trainer)  # also where the pack is rebuilt after every epoch
            if wants or is_over:
                self._take_snapshots(trainer, epoch)
            if wants:
                oversight.saving.took(trainer)
            if is_over:
                return

    def _take_snapshots(self, trainer: PackTrainer, epoch: int) -> None:
        self._take(trainer, [i for i, member in enumerate(trainer.members) if is_live(member, epoch)])

    def _take(self, trainer: PackTrainer, which: Sequence[int]) -> None:
        """Take the present snapshots of the members with these indices."""
        if not which:
            return
        for i, snapshot in zip(which, trainer.snapshots_of(which), strict=True):
            trainer.members[i].snapshot = snapshot
            trainer.members[i].remember()

    def _train_epoch(
        self, trainer: PackTrainer, epoch: int, live: Sequence[bool], oversight: Oversight
    ) -> PackInFlight:
        """Train one epoch of the pack for its live members; yield to other packs while the device computes it."""
        members = trainer.members
        begun = time.monotonic()
        losses = trainer.train_epoch(epoch)
        scores = trainer.evaluate()
        yield True
        self._record(trainer, live, losses.tolist(), scores.tolist())
        trainer.diagnostics.note(live)
        seconds = trainer.epoch_s = time.monotonic() - begun
        if trainer.backend == "eager":  # the cost model is that of the eager backend
            self._engine.step_cost.note(trainer.work, seconds / trainer.n_steps)
        oversight.count_time(compress(members, live), seconds)
        if trainer.may_go_back:
            self._send_back(trainer, [i for i, m in enumerate(members) if live[i] and m.progress.epoch < epoch])
        oversight.end_epoch(list(compress(members, live)), trainer.n_steps)
        self._hand_over(trainer, [i for i, m in enumerate(members) if live[i] and m.is_resting], oversight.monitor)

    def _hand_over(self, trainer: PackTrainer, resting: Sequence[int], monitor: Monitor) -> None:
        """Report members that have just ended or paused to the monitor."""
        self._take(trainer, [i for i in resting if trainer.members[i].needs_snapshot])
        for i in resting:
            member = trainer.members[i]
            is_kept = member.progress.end is not None and member.progress.best_epoch
            monitor.member_done(member, trainer.best_of(i) if is_kept else None)

    def _send_back(self, trainer: PackTrainer, diverged: Sequence[int]) -> None:
        """Set the snapshot of members that restart after divergence to that of their best epoch."""
        if diverged:
            for i, snapshot in zip(diverged, trainer.good_snapshots_of(diverged), strict=True):
                member = trainer.members[i]
                member.snapshot = snapshot if member.progress.epoch else None
                member.remember()

    def _record(self, trainer: PackTrainer, live: Sequence[bool], losses: list[float], scores: list[float]) -> None:
        valid_losses, of_targets = trainer.diagnostics.valid_losses, trainer.target_scores
        told = zip(trainer.members, live, losses, valid_losses, scores, of_targets, strict=True)
        is_best = [
            on and m.progress.record(loss, valid_loss, score, self._measured, m.hp, own)
            for m, on, loss, valid_loss, score, own in told
        ]
        if any(is_best):
            trainer.keep_best(torch.tensor(is_best, device=self._engine.device))
