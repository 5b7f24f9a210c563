"""One lease in training: its members, the folds that have ended, and the results of its trials."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from foldstep.models.catalog.metrics import Direction
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.models.weights import Weights
from foldstep.service.contract.diagnostics import Diagnostics
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.report import Curve, FoldResult, Outcome, TrialProgress, TrialResult
from foldstep.worker.checkpoints import SavedTrial
from foldstep.worker.train.member import Member, Snapshot
from foldstep.worker.train.scoring import scored_epochs
from foldstep.worker.train.stopping import End, Progress


@dataclass(frozen=True)
class Finished:
    """A trial whose folds have all ended or are paused, with the best weights of those that have ended.

    Attributes:
        snapshot: from which the trial, or one that continues it, resumes; None if neither does.
    """

    leased: LeasedTrial
    members: list[Member]
    weights: list[Weights | None]
    result: TrialResult
    snapshot: SavedTrial | None = None

    @property
    def score(self) -> float | None:
        """Mean of the folds' scores; None where one has none."""
        scores = [f.score for f in self.result.folds]
        if not scores or any(s is None for s in scores):
            return None
        return math.fsum(s for s in scores if s is not None) / len(scores)


def failed(leased: LeasedTrial, message: str, duration_s: float) -> Finished:
    """Build the end of a trial that has failed."""
    result = TrialResult(trial=leased.number, outcome="failed", folds=[], duration_s=duration_s, message=message)
    return Finished(leased, [], [], result)


_TIME_OVER = "The time was over before its last epoch (budget.trial_time, or budget.time of the search)."


class TrialWork:
    """One leased trial and its members.

    Args:
        leased: the trial.
        n_folds: number of folds of the search.
        seed: of the search.
        direction: of its metric.
        saved: the state from which it goes on; None to begin.

    Attributes:
        members: one for each fold that is to be trained under this lease, or was before.
        weights: the best weights of each fold that has ended; None for a fold that is paused.
    """

    def __init__(
        self, leased: LeasedTrial, n_folds: int, seed: int, direction: Direction, saved: SavedTrial | None
    ) -> None:
        self.leased = leased
        self._n_folds, self._direction = n_folds, direction
        self.members = _members(leased, leased.folds or n_folds, resolve(leased.params, seed=seed))
        self.weights: dict[int, Weights | None] = {}
        self.started = time.monotonic()
        for member in self.members:
            if saved is not None and member.fold in saved.folds:
                self._go_on(member, *saved.folds[member.fold])

    def _go_on(self, member: Member, progress: Progress, snapshot: Snapshot | None, best: Weights | None) -> None:
        """Restore a fold from its saved state; an unfinished fold without a snapshot begins anew."""
        progress.go_on(member.hp)
        progress.counts_from = member.progress.counts_from
        if progress.end is None and snapshot is None:
            return
        member.progress, member.snapshot = progress, snapshot
        if member.is_resting:
            self.weights[member.fold] = best if progress.end is not None else None

    def go_back(self) -> None:
        """Return the folds that were not handed over to their last snapshots, after an error of the training."""
        for member in self.members:
            if member.fold not in self.weights:
                member.go_back()

    @property
    def is_done(self) -> bool:
        """Whether every fold has ended or is paused."""
        return len(self.weights) == len(self.members)

    @property
    def is_dropped(self) -> bool:
        """Whether a fold was dropped, as the master asked."""
        return any(m.progress.end is End.DROPPED for m in self.members)

    def progress(self) -> TrialProgress:
        """Compute the progress of the trial: the epoch of its slowest fold, and its score so far."""
        scores = [m.progress.averages[epoch - 1] for m, epoch in self._scored()]
        score = math.fsum(scores) / len(scores) if len(scores) == len(self.members) else None
        epochs = [m.progress.epoch if m.progress.end is None else m.hp.epochs for m in self.members]
        return TrialProgress(trial=self.leased.number, epoch=min(epochs), score=score)

    def _scored(self) -> list[tuple[Member, int]]:
        """List the members that have a score, each with the epoch that counts, see `scored_epochs`."""
        members = [m for m in self.members if m.progress.has_score]
        return list(zip(members, scored_epochs([m.progress for m in members], self._direction), strict=True))

    def finished(self, fingerprint: str) -> Finished:
        """Build the result, once every fold has ended or is paused."""
        diverged = [m.fold for m in self.members if m.progress.end is End.DIVERGED]
        outcome = self._outcome()
        message = " ".join(_restart_sentence(m) for m in self.members if m.progress.restarts) or None
        if diverged:
            first = self.members[diverged[0]]
            end = f"The loss was not finite in epoch {first.progress.epoch} of fold {first.fold}; try a lower lr."
            message = f"{message} {end}" if message else end
        if outcome == "undefined":
            message = f"{message} {self._undefined()}" if message else self._undefined()
        if outcome == "pruned":
            message = f"{message} {_TIME_OVER}" if message else _TIME_OVER
        scored = {member.fold: epoch for member, epoch in self._scored()}
        result = TrialResult(
            trial=self.leased.number,
            outcome=outcome,
            folds=[_fold_result(m, scored.get(m.fold)) for m in self.members],
            duration_s=time.monotonic() - self.started,
            message=message,
        )
        weights = [self.weights[m.fold] for m in self.members]
        goes_on = outcome == "paused" or (outcome == "completed" and self.leased.keep_snapshot)
        snapshot = self.saved(fingerprint) if goes_on else None
        return Finished(self.leased, self.members, weights, result, snapshot)

    def _undefined(self) -> str:
        """Say where and why the metric has no value."""
        first = next(m for m in self.members if m.progress.end is End.UNDEFINED)
        where = f"epoch {first.progress.epoch} of fold {first.fold}, although the losses are finite"
        return f"In {where}, {first.progress.undefined}."

    def _outcome(self) -> Outcome:
        """Choose the outcome: one fold without a score, or out of time, decides it for the whole trial."""
        ends = {m.progress.end for m in self.members}
        if End.DIVERGED in ends:
            return "diverged"
        if End.UNDEFINED in ends:
            return "undefined"
        if End.TIME in ends:
            return "pruned"
        return "paused" if None in ends or len(self.members) < self._n_folds else "completed"

    def saved(self, fingerprint: str) -> SavedTrial | None:
        """Collect the state of the trial for a snapshot; None before its first epoch."""
        folds = {
            m.fold: (m.progress, m.snapshot if m.needs_snapshot else None, self.weights.get(m.fold))
            for m in self.members
            if m.progress.epoch
        }
        return SavedTrial(self.leased.params, fingerprint, folds, self.leased.legs) if folds else None


def _members(leased: LeasedTrial, n_folds: int, hp: Hyperparameters) -> list[Member]:
    legs, keep_snapshot = tuple(leased.legs), leased.keep_snapshot
    counts_from = leased.legs[-1] if leased.own_epochs and legs else 0
    return [
        Member(leased.number, fold, hp, Progress(counts_from=counts_from), until=leased.until, legs=legs,
               keep_snapshot=keep_snapshot)
        for fold in range(n_folds)
    ]  # fmt: skip


def _fold_result(member: Member, scored: int | None) -> FoldResult:
    """Build the result of a fold whose score is that of the epoch `scored`; None where it has none."""
    progress = member.progress
    return FoldResult(
        fold=member.fold,
        score=None if scored is None else progress.averages[scored - 1],
        best_epoch=progress.best_epoch,
        epochs=progress.epoch,
        n_parameters=member.n_parameters,
        curve=Curve(train_loss=progress.train_loss, score=progress.scores),
        diagnostics=Diagnostics(valid_loss=progress.valid_loss, probes=progress.probes),
        target_scores=[] if scored is None else list(progress.averages_of_targets(scored)),
    )


def _restart_sentence(member: Member) -> str:
    epochs = " and ".join(str(e) for e in member.progress.restarts)
    return f"Fold {member.fold} diverged in epoch {epochs} and went back to its best one, at a tenth of the rate."


class Assignment:
    """The trials of a lease that this worker has still to finish."""

    def __init__(self, lease: Lease, works: list[TrialWork]) -> None:
        self.lease = lease
        self._works = {w.leased.number: w for w in works}

    def __iter__(self) -> Iterator[TrialWork]:
        return iter(list(self._works.values()))

    def add(self, work: TrialWork) -> None:
        """Add a trial."""
        self._works[work.leased.number] = work

    def members(self) -> list[Member]:
        """List all members of these trials, with those that have ended."""
        return [m for work in self for m in work.members]

    def fold_done(self, member: Member, weights: Weights | None) -> Finished | None:
        """Record the end of a fold, and return its trial's result if that was the last one and none was dropped."""
        work = self._works[member.trial]
        work.weights[member.fold] = weights
        if not work.is_done:
            return None
        del self._works[member.trial]
        return None if work.is_dropped else work.finished(self.lease.problem.fingerprint)

    def remove(self, trial: int) -> None:
        """Remove a trial from the assignment."""
        del self._works[trial]

    def take_finished(self) -> list[Finished]:
        """Remove the trials that had nothing left to train when they were leased, and return their results."""
        done = [w for w in self if w.is_done]
        for work in done:
            del self._works[work.leased.number]
        return [w.finished(self.lease.problem.fingerprint) for w in done]
