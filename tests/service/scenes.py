"""Helpers for tests of the flow: a clock, searches without data, a worker that the test controls."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.death import WorkerDeath
from foldstep.service.contract.lease import Backend, Lease, LeaseRequest, WorkerRegistration
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.report import (
    Curve,
    FoldResult,
    LeaseEnd,
    Report,
    ReportReply,
    TrialProgress,
    TrialResult,
)
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.version import __version__
from foldstep.service.flow.context import Context
from foldstep.service.flow.died import worker_died
from foldstep.service.flow.lease import lease
from foldstep.service.flow.register import register_worker
from foldstep.service.flow.release import release
from foldstep.service.flow.report import report
from foldstep.service.flow.submit import Submission, store
from foldstep.service.planner.stages import first_stage

FINGERPRINT = "ab" * 32
LR = {"low": 1e-4, "high": 1e-1, "log": True}
KILLED = {"signal": signal.SIGKILL}
"""What a parent sees of a worker that was killed from outside."""


class Clock:
    """A clock that moves only when a test advances it.

    Attributes:
        time: what it shows.
        seconds: that have passed, whatever it shows.
    """

    def __init__(self) -> None:
        self.time = datetime(2030, 1, 1, tzinfo=UTC)
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        self.seconds += seconds

    def jump(self, seconds: float) -> None:
        """Show another time, forward or back, though none has passed."""
        self.time += timedelta(seconds=seconds)


def spec(**changes: Any) -> dict[str, Any]:
    """Make a spec as a user would write it."""
    plain = {
        "name": "wine",
        "method": "random",
        "data": {"dataset": "wine"},
        "cv": {"folds": 2},
        "metric": "accuracy",
        "parameters": {"lr": LR},
        "budget": {"trials": 6},
    }
    return {**plain, **changes}


def new_search(context: Context, *, key: str | None = None, **changes: Any) -> str:
    """Store a search as `submit` does, without checking its data; return its id."""
    raw = spec(**changes)
    parsed = parse_spec(raw)
    problem = LearningProblem(
        fingerprint=FINGERPRINT,
        task="classification",
        target="target",
        metric=parsed.metric or MetricSpec(name="accuracy"),
        data=parsed.data.model_copy(update={"target": "target", "task": "classification"}),
        cv=parsed.cv,
        seed=parsed.seed,
        n_folds=parsed.cv.folds or 1,
        n_rows=178,
        n_inputs=1,
        n_outputs=3,
        reading=None,
        baseline=None,
    )
    resolved = problem.resolved(parsed)
    return store(context, Submission(resolved, problem, [], first_stage(resolved)), raw, key)


def result(
    trial: int,
    scores: Iterable[float | None] = (0.5, 0.7),
    *,
    outcome: str = "completed",
    checkpoints: bool = False,
    epochs: int = 3,
    message: str | None = None,
) -> TrialResult:
    """Make a worker's report of a finished trial."""
    folds = [
        FoldResult(
            fold=i,
            score=score,
            best_epoch=epochs,
            epochs=epochs,
            curve=Curve(train_loss=[1.0] * epochs, score=[score] * epochs),
            checkpoint=checkpoint(trial, i, score or 0.0) if checkpoints else None,
        )
        for i, score in enumerate(scores)
    ]
    return TrialResult(trial=trial, outcome=outcome, folds=folds, duration_s=1.5, message=message)  # type: ignore[arg-type]


def score_of(params: Mapping[str, Any]) -> float:
    """Compute an accuracy that depends on the hyperparameters."""
    return 0.9 - abs(math.log10(params["lr"]) + 2) / 10 - params["dropout"] / 10


def checkpoint(trial: int, fold: int, score: float = 0.5) -> str:
    return str(CheckpointName("accuracy", score, trial, fold, 3))


@dataclass
class Hand:
    """A worker whose actions the test calls one by one."""

    context: Context
    name: str = "hand"
    backend: Backend | None = None
    key: str | None = None
    worker: int = field(init=False)

    def __post_init__(self) -> None:
        self.register()

    def register(self) -> None:
        registration = WorkerRegistration(
            name=self.name, device="cpu", backend=self.backend, version=__version__, key=self.key
        )
        self.worker = register_worker(self.context, registration).worker

    def take(self, members: int = 4) -> Lease:
        taken = self.try_take(members)
        assert taken is not None, "nothing waits"
        return taken

    def try_take(self, members: int = 4, key: str | None = None) -> Lease | None:
        return lease(self.context, self.request(members, key))

    def request(self, members: int = 4, key: str | None = None) -> LeaseRequest:
        return LeaseRequest(worker=self.worker, members=members, key=key)

    def die(self, **seen: Any) -> None:
        """Die, as its parent tells; the next call is that of a new process."""
        worker_died(self.context, self.worker, WorkerDeath(**seen))
        self.register()

    def report(
        self,
        held: Lease,
        *results: TrialResult,
        progress: Iterable[TrialProgress] = (),
        steps: int = 0,
        snapshots: Mapping[int, str] | None = None,
    ) -> ReportReply:
        sent = Report(
            results=list(results),
            progress=list(progress),
            member_steps=steps,
            snapshots=dict(snapshots or {}),
        )
        return report(self.context, held.lease, held.token, sent)

    def release(self, held: Lease, snapshots: Mapping[int, str] | None = None) -> None:
        release(self.context, held.lease, held.token, LeaseEnd(snapshots=dict(snapshots or {})))

    def work(self, members: int = 4, scores: Iterable[float | None] = (0.5, 0.7)) -> list[int]:
        """Take, finish and release one lease; return its trials, an empty list where none can be leased."""
        held = self.try_take(members)
        if held is None:
            return []
        numbers = [t.number for t in held.trials]
        self.report(held, *(result(n, scores) for n in numbers))
        self.release(held)
        return numbers

    def work_all(self, members: int = 4) -> list[int]:
        """Work until no trial can be leased; return every trained trial, in order of training."""
        done: list[int] = []
        while numbers := self.work(members):
            done += numbers
        return done
