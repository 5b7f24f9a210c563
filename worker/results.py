"""Make the files that go up with the results of a lease: checkpoints to keep, snapshots to resume from."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from foldstep.models.weights import Weights
from foldstep.service.contract.lease import Lease
from foldstep.service.contract.out_of_fold import TEST, VALIDATION, FoldPredictions
from foldstep.service.contract.report import TrialResult
from foldstep.worker.assignment import Finished
from foldstep.worker.checkpoints import checkpoint, encode_snapshot, is_worth_keeping
from foldstep.worker.data.inputs import FoldData, FoldSource
from foldstep.worker.out_of_fold import predicted
from foldstep.worker.train.member import Member

log = logging.getLogger(__name__)


class Bars(NamedTuple):
    """The scores that a trial must reach for its checkpoints and its snapshot to be kept; None: any score."""

    checkpoint: float | None
    snapshot: float | None


class Files(NamedTuple):
    """Results that name their checkpoints, the checkpoints by file name, and the snapshots by trial."""

    results: list[TrialResult]
    checkpoints: dict[str, bytes]
    snapshots: dict[int, bytes]


class ResultFiles:
    """Makes the files of one lease's results.

    Args:
        lease: the lease.
        source: the folds, for the preprocessing that a checkpoint carries.
    """

    def __init__(self, lease: Lease, source: FoldSource) -> None:
        self._lease, self._source = lease, source
        self._direction = lease.problem.metric.direction

    def of(self, finished: Sequence[Finished], bars: Bars) -> Files:
        """Make the files of some finished trials; one whose files cannot be made has failed, in words."""
        made = Files([], {}, {})
        wanted = self._worth_keeping(finished, bars)
        for one in finished:
            try:
                snapshot = encode_snapshot(one.snapshot) if one.snapshot and self._is_wanted(one, bars) else None
                files = self._checkpoints(one) if one.leased.number in wanted else {}
            except Exception as error:
                log.error("trial %d has no files: %s\n%s", one.leased.number, error, traceback.format_exc())
                made.results.append(_failed(one.result, error))
                continue
            made.results.append(_named(one.result, list(files)))
            made.checkpoints.update(files)
            if snapshot is not None:
                made.snapshots[one.leased.number] = snapshot
        return made

    def _is_wanted(self, finished: Finished, bars: Bars) -> bool:
        """Tell whether to upload a trial's snapshot with its result: it is paused, or good enough to be continued."""
        is_good = is_worth_keeping(finished.score, bars.snapshot, self._direction)
        return finished.result.outcome == "paused" or is_good

    def _worth_keeping(self, finished: Sequence[Finished], bars: Bars) -> set[int]:
        """Choose the trials that reach the master's bar, and of those no more than it keeps."""
        ended = [f for f in finished if f.result.outcome != "paused" and len(f.members) == self._source.n_folds]
        good = [f for f in ended if is_worth_keeping(f.score, bars.checkpoint, self._direction)]
        good.sort(key=lambda f: (self._direction.loss_of(f.score or 0.0), f.leased.number))
        return {f.leased.number for f in good[: self._lease.keep_checkpoints]}

    def _checkpoints(self, finished: Finished) -> dict[str, bytes]:
        """Make a trial's checkpoint files, in the order of its folds."""
        files = {}
        for member, weights in zip(finished.members, finished.weights, strict=True):
            assert weights is not None
            data = self._source.fold(member.fold, member.hp.preparation)
            kept = self._predictions(member, weights, data) if self._lease.keep_predictions else {}
            name, content = checkpoint(self._lease, finished.leased, member, weights, data, finished.result, kept)
            files[name] = content
        return files

    def _predictions(self, member: Member, weights: Weights, data: FoldData) -> dict[str, FoldPredictions]:
        """Predict the fold's validation rows, and the test rows if there are some."""
        splits = self._source.splits
        predictions = {VALIDATION: predicted(member.hp, weights, data, splits.folds[member.fold][1])}
        if len(splits.test):
            held_out = self._source.with_test_rows(data)
            predictions[TEST] = predicted(member.hp, weights, held_out, splits.test)
        return predictions


def _named(result: TrialResult, checkpoints: list[str]) -> TrialResult:
    """Add the name of its checkpoint to each fold of a result, if it has checkpoints."""
    if not checkpoints:
        return result
    named = zip(result.folds, checkpoints, strict=True)
    return result.model_copy(update={"folds": [f.model_copy(update={"checkpoint": name}) for f, name in named]})


def _failed(result: TrialResult, error: Exception) -> TrialResult:
    message = f"Its files could not be made, {in_words(error)}."
    return TrialResult(trial=result.trial, outcome="failed", folds=[], duration_s=result.duration_s, message=message)


def in_words(error: Exception) -> str:
    """Write an error as its kind and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
