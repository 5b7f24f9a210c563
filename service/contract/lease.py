"""What a worker asks for and what it gets."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import AwareDatetime, Field, model_validator

from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.space import Frozen, Params

Device: TypeAlias = Literal["cpu", "cuda"]
Backend: TypeAlias = Literal["compiled", "compiled amx", "eager"]
"""What computes a worker's training steps: the compiled library, on a processor with AMX or without, or PyTorch."""
Purpose: TypeAlias = Literal["train", "check"]


class WorkerRegistration(Frozen):
    """How a worker introduces itself (`POST /workers`)."""

    name: str = Field(min_length=1, max_length=200)  # host and process, for people
    device: Device
    backend: Backend | None = None  # results of one and another agree within rounding, not to the bit
    version: str  # of the distribution; the master refuses another major or minor


class WorkerRegistered(Frozen):
    """The master's answer to a registration."""

    worker: int  # id to use in every later call
    report_interval_s: float
    lease_ttl_s: float


class LeaseRequest(Frozen):
    """`POST /leases`: a worker is free.

    Attributes:
        members: networks that the worker trains at once; the master divides it by the folds of the search.
    """

    worker: int
    members: int = Field(ge=1)


class LeasedTrial(Frozen):
    """One trial to train.

    Attributes:
        params: hyperparameters as planned, the stage's epochs and the seed among them.
        attempt: 1 for the first.
        resume: name of a saved training state to go on from, fetched with the lease; None to start afresh.
        until: the epoch to stop at and wait, counted from the trial's first; None to train to its end.
        folds: how many of its folds to train, the first ones; None for all.
        legs: the epochs of the trials that it continues, the first one's first: up to each of them it trains under a
            schedule over so many epochs, and then on under the next; empty where it continues none.
        keep_snapshot: whether its state goes up with its result, so that a trial of the next stage can continue it; not
            below the lease's `snapshot_bar`.
    """

    number: int
    params: Params
    attempt: int = 1
    resume: str | None = None
    until: int | None = Field(default=None, ge=1)
    folds: int | None = Field(default=None, ge=1)
    legs: list[int] = Field(default_factory=list)
    keep_snapshot: bool = False


class Work(Frozen):
    """A trial to train once more from its first epoch (`GET /searches/{id}/work/{number}`).

    Attributes:
        search: id of its search.
        trial: as it would be leased: its legs first, and no further than it came.
    """

    search: str
    problem: LearningProblem
    trial: LeasedTrial


class Lease(Frozen):
    """The right to train some trials, or to check a search before them, until `expires_at`; every report renews it.

    Attributes:
        search: id, which is also the name of its checkpoint folder.
        problem: the same for every lease of the search.
        purpose: what to do; a lease to check has candidates instead of trials.
        candidates: draws from the search's space for the checks.
        token: fences the work: what is sent under another one gets `LeaseLost`; it travels in `X-Lease-Token`.
        checkpoint_bar: score that a trial must reach or beat for its checkpoints to be kept; None: any score.
        keep_checkpoints: of how many of the best trials the search keeps them; None for all.
        snapshot_bar: score that a trial must reach for its state to go up where it is to be kept; None: any score.
        trial_time_s: how long each fold of a trial may be in training; None for no limit.
        time_left_s: of the search's time budget; trials that are in training then end with what they have.
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
