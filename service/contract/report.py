"""What a worker reports while it trains, and what comes back."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.diagnostics import Diagnostics
from foldstep.service.contract.space import Frozen

Outcome: TypeAlias = Literal["completed", "diverged", "failed", "paused", "pruned"]


class Curve(Frozen):
    """What happened to one fold of one trial, an entry an epoch, the first epoch first.

    Attributes:
        train_loss: mean loss over the epoch's steps, as optimised; None where it was not finite.
        score: the search's metric on the validation part after the epoch; None where it was not finite.
    """

    train_loss: list[float | None]
    score: list[float | None]


class FoldResult(Frozen):
    """One fold of a finished trial.

    Attributes:
        score: the metric at the best epoch, in the user's units; None when the member diverged.
        best_epoch: 1 for the first; 0 when there is none.
        epochs: how many were trained.
        checkpoint: name of the uploaded checkpoint; None when it was below the bar.
        diagnostics: what was seen besides the curve; None where a worker of an earlier version trained it.
    """

    fold: int
    score: float | None
    best_epoch: int
    epochs: int
    curve: Curve
    checkpoint: str | None = None
    diagnostics: Diagnostics | None = None


class TrialResult(Frozen):
    """A trial that trains no more. Its score is the mean of its folds' scores, taken by the master.

    Attributes:
        outcome: `paused` where it has come as far as its lease goes (`LeasedTrial.until`, `folds`), its state in the
            report's `snapshots`; `pruned` where its time was over.
        duration_s: wall time under this lease, shared with the other members of the pack.
        message: why, where it did not come to its last epoch.
    """

    trial: int
    outcome: Outcome
    folds: list[FoldResult]
    duration_s: float = Field(ge=0)
    message: str | None = None


class TrialProgress(Frozen):
    """How far a running trial is.

    Attributes:
        score: mean over the folds of the best score so far; None before the first epoch.
    """

    trial: int
    epoch: int
    score: float | None = None


class Report(Frozen):
    """`POST /leases/{id}:report`: heartbeat, progress and results in one; renews the lease.

    Sending the same report again changes nothing.

    Attributes:
        member_steps: optimiser steps times members since the last report, for the throughput display.
        snapshots: trial number to the name of its snapshot, uploaded before this report: where another
            worker goes on should this one die.
        checks: the report of a lease to check, once they are done.
    """

    progress: list[TrialProgress] = Field(default_factory=list)
    results: list[TrialResult] = Field(default_factory=list)
    member_steps: int = Field(default=0, ge=0)
    snapshots: dict[int, str] = Field(default_factory=dict)
    checks: CheckReport | None = None


class ReportReply(Frozen):
    """What the master says back.

    Attributes:
        expires_at: the lease's new end.
        stop: trials to stop at once; their work is dropped without a result.
        checkpoint_bar: see `Lease`; snapshot_bar and time_left_s, too.
    """

    expires_at: AwareDatetime
    stop: list[int] = Field(default_factory=list)
    checkpoint_bar: float | None = None
    snapshot_bar: float | None = None
    time_left_s: float | None = None


class LeaseEnd(Frozen):
    """`POST /leases/{id}:release`: a worker ends a lease; what it has not finished goes back.

    Attributes:
        snapshots: trial number to the name of its uploaded snapshot; none where nothing is left.
    """

    snapshots: dict[int, str] = Field(default_factory=dict)
