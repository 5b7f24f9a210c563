"""The requests of workers for work, and the leases that they get."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AwareDatetime, Field, model_validator

from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.space import Frozen, Params

Device: TypeAlias = Literal["cpu", "cuda"]
Backend: TypeAlias = Literal["compiled", "compiled amx", "eager"]
"""The backend that computes a worker's steps: the compiled library, with AMX instructions or without, or PyTorch."""
Purpose: TypeAlias = Literal["train", "check"]
Key: TypeAlias = Annotated[str, Field(min_length=16, max_length=64, pattern=r"^[\x21-\x7e]+$")]
"""A random word of at least 16 characters that a client makes once, so that a repeated request is known again."""


class WorkerRegistration(Frozen):
    """The registration of a worker (`POST /workers`); the same key again is the same worker.

    Attributes:
        key: name that the parent of the process gave it, under which it tells of its death (`POST /workers:died`).
    """

    name: str = Field(min_length=1, max_length=200)  # host and process, for people
    device: Device
    backend: Backend | None = None  # results of different backends agree within rounding, not bit for bit
    version: str  # of the distribution; the master refuses another major or minor version
    key: Key | None = None


class WorkerRegistered(Frozen):
    """The master's answer to a registration.

    Attributes:
        max_body_bytes: the largest report that it takes, in bytes; a larger one is to be sent in parts.
        max_upload_bytes: the largest file that it takes, in bytes.
    """

    worker: int  # id to use in every later call
    report_interval_s: float
    lease_ttl_s: float
    max_body_bytes: int = 32 << 20
    max_upload_bytes: int = 1 << 30


class LeaseRequest(Frozen):
    """The request of a free worker for trials (`POST /leases`).

    Attributes:
        members: number of members that the worker trains at once; the master divides it by the folds of the search.
        key: new for each lease that is asked for; a request that is repeated with it gets the same lease.
    """

    worker: int = Field(ge=0, le=2**31 - 1)
    members: int = Field(ge=1, le=2**31 - 1)
    key: Key | None = None


class LeasedTrial(Frozen):
    """One trial to train.

    Attributes:
        params: hyperparameters as planned, the stage's epochs and the seed among them.
        attempt: 1 for the first.
        resume: name of the snapshot to resume from, fetched with the lease; None to start from the beginning.
        until: the epoch at which to stop and wait, counted from the trial's first; None to train to its end.
        folds: number of its folds to train, the first ones; None for all.
        legs: the final epochs of the trials that it continues, the earliest trial first: each part of the training has
            a schedule over the epochs at its end; empty where it continues no trial.
        keep_snapshot: whether its snapshot is uploaded with its result, so that a trial of the next stage can continue
            it; only for a score that reaches the lease's `snapshot_bar`.
        own_epochs: whether its score and its networks are of its own epochs alone, and not of those of its legs.
    """

    number: int
    params: Params
    attempt: int = 1
    resume: str | None = None
    until: int | None = Field(default=None, ge=1)
    folds: int | None = Field(default=None, ge=1)
    legs: list[int] = Field(default_factory=list)
    keep_snapshot: bool = False
    own_epochs: bool = False


class Work(Frozen):
    """A trial to train once more from its first epoch (`GET /searches/{id}/work/{number}`).

    Attributes:
        search: id of its search.
        trial: the trial as in a lease, with its legs, and only up to the epoch that it reached.
    """

    search: str
    problem: LearningProblem
    trial: LeasedTrial


class Lease(Frozen):
    """The right to train some trials, or to check a search before them; every report renews it.

    Attributes:
        expires_at: about when it ends without a report. The master goes by how long it has heard nothing, not by the
            clock.
        search: id, which is also the name of its checkpoint folder.
        problem: the same for every lease of the search.
        purpose: to train trials, or to run the checks on candidates.
        candidates: configurations from the search's space for the checks.
        token: fencing token, sent in `X-Lease-Token`; requests with another one are answered with `LeaseLost`.
        checkpoint_bar: score that a trial must reach or beat for its checkpoints to be kept; None: any score.
        keep_checkpoints: number of best trials of which the search keeps checkpoints; None for all.
        keep_predictions: whether checkpoints hold the out-of-fold predictions.
        snapshot_bar: score that a trial must reach for its snapshot (`keep_snapshot`) to be uploaded; None: any score.
        trial_time_s: longest training time of each fold of a trial, in seconds; None for no limit.
        time_left_s: seconds left of the search's time budget, after which running trials end with their results so
            far; None for no limit.
    """

    lease: int
    token: str
    expires_at: AwareDatetime
    search: str
    problem: LearningProblem
    purpose: Purpose = "train"
    trials: list[LeasedTrial] = Field(default_factory=list)
    candidates: list[Params] = Field(default_factory=list)
    keep_checkpoints: int | None = None
    keep_predictions: bool = False
    checkpoint_bar: float | None = None
    snapshot_bar: float | None = None
    trial_time_s: float | None = None
    time_left_s: float | None = None

    @model_validator(mode="after")
    def _holds_what_its_purpose_needs(self) -> Self:
        work, other = (self.trials, self.candidates) if self.purpose == "train" else (self.candidates, self.trials)
        if not work or other:
            raise ValueError("a lease to train holds trials, a lease to check holds candidates")
        return self
