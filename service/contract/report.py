"""The reports of a worker while it trains, and the master's replies."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.diagnostics import Diagnostics
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.contract.space import Frozen

Outcome: TypeAlias = Literal["completed", "diverged", "failed", "paused", "pruned", "undefined"]


Count: TypeAlias = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""A number of trials, folds or epochs, or one of them; databases hold no greater ones."""


Snapshots: TypeAlias = Annotated[
    dict[Count, str], Field(json_schema_extra={"propertyNames": {"pattern": "^(0|[1-9][0-9]{0,8})$"}})
]
"""The names of snapshots, by the numbers of their trials."""


class Curve(Frozen):
    """The learning curves of one fold of one trial, with one entry for each epoch, in order.

    Attributes:
        train_loss: mean loss over the epoch's steps, as optimised; None where it was not finite.
        score: the search's metric on the validation part after the epoch, not averaged; None where it was not finite.
    """

    train_loss: list[float | None]
    score: list[float | None]


class FoldResult(Frozen):
    """One fold of a finished trial.

    Attributes:
        score: the metric in the user's units, averaged over the last tenth of the epochs up to the one that counts for
            all folds of the trial; None when the member diverged or the metric is undefined.
        best_epoch: the epoch of the best average, from 1, whose network is kept; 0 when no epoch has a score.
        epochs: number of trained epochs.
        n_parameters: number of trained parameters of the fold's network; None where it did not train under this lease.
        checkpoint: name of the uploaded checkpoint; None when the score was below the lease's `checkpoint_bar`.
        diagnostics: the fold's diagnostics; None where a worker of an earlier version trained it.
        target_scores: the metric of each of several targets, of which `score` is the mean, averaged as it is; empty for
            one target.
    """

    fold: Count
    score: float | None
    best_epoch: Count
    epochs: Count
    n_parameters: int | None = Field(default=None, ge=0, le=2**63 - 1)
    curve: Curve
    checkpoint: str | None = None
    diagnostics: Diagnostics | None = None
    target_scores: list[float | None] = Field(default_factory=list)


class TrialResult(Frozen):
    """The result of a trial whose training under this lease has ended; the master averages the folds' scores.

    Attributes:
        outcome: `paused` where it reached the end of its lease (`LeasedTrial.until`, `folds`), with its snapshot in
            the report's `snapshots`; `pruned` where its time was over; `undefined` where the metric has no value in a
            fold though losses and predictions are finite.
        duration_s: wall time under this lease, in seconds, shared with the other members of the pack.
        message: the reason, where it did not reach its last epoch.
    """

    trial: Count
    outcome: Outcome
    folds: list[FoldResult]
    duration_s: float = Field(ge=0)
    message: str | None = None


class TrialProgress(Frozen):
    """The progress of a running trial.

    Attributes:
        score: that of its epochs so far; None before the first epoch.
    """

    trial: Count
    epoch: Count
    score: float | None = None


class LeaseEnd(Frozen):
    """The end of a lease by its worker (`POST /leases/{id}:release`); unfinished trials become available again.

    Attributes:
        snapshots: number of each unfinished trial to the name of its uploaded snapshot.
    """

    snapshots: Snapshots = Field(default_factory=dict)


class Report(Frozen):
    """A worker's report (`POST /leases/{id}:report`): heartbeat, progress and results; it renews the lease.

    Sending the same report again changes nothing.

    Attributes:
        member_steps: steps times members since the last report, for the throughput display.
        snapshots: trial number to the name of its snapshot, uploaded before this report; another worker resumes
            from it should this one die.
        checks: the results of the checks, once they are done, where the lease's purpose is to check.
        release: ends the lease with this report, as a release after it would.
        next: asks for the next lease, which comes with the reply, as a request after this report would.
    """

    progress: list[TrialProgress] = Field(default_factory=list)
    results: list[TrialResult] = Field(default_factory=list)
    member_steps: int = Field(default=0, ge=0, le=2**63 - 1)
    snapshots: Snapshots = Field(default_factory=dict)
    checks: CheckReport | None = None
    release: LeaseEnd | None = None
    next: LeaseRequest | None = None


class ReportReply(Frozen):
    """The master's reply to a report.

    Attributes:
        expires_at: the lease's new end.
        stop: trials to stop at once, without a result; also those that are another worker's by now.
        checkpoint_bar: see `Lease`, as for `snapshot_bar` and `time_left_s`.
        lease: the next lease, where the report asked for one and there is work.
    """

    expires_at: AwareDatetime
    stop: list[int] = Field(default_factory=list)
    checkpoint_bar: float | None = None
    snapshot_bar: float | None = None
    time_left_s: float | None = None
    lease: Lease | None = None
