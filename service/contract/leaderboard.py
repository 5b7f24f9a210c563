"""The records that users read: searches, trials, rankings, borders."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import AwareDatetime

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.diagnose import Diagnosis
from foldstep.service.contract.diagnostics import Reading
from foldstep.service.contract.report import Curve
from foldstep.service.contract.space import Frozen, Params, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.states import SearchState, TrialState

OrderBy: TypeAlias = Literal["score", "number"]


class StageView(Frozen):
    """One stage: its plan and its progress."""

    stage: int
    epochs: int | None  # None: each trial's own
    trials: int
    finished: int
    space: Space
    borders: list[BorderFinding]


class BorderFinding(Frozen):
    """A best value at the edge of its range.

    Attributes:
        edge: the end of the range.
        limit: the edge's value.
        best: the value of the best trial.
        extended_to: the new edge in the next stage; None when it was not extended.
        sentence: the finding in words.
    """

    parameter: str
    edge: Literal["low", "high"]
    limit: float
    best: float
    extended_to: float | None
    sentence: str


class TrialView(Frozen):
    """One row of the leaderboard.

    Attributes:
        score: mean over the folds; None before the end, and for undefined, diverged and failed trials.
        spread: standard deviation over the folds (n - 1); None for one fold.
        n_parameters: number of trainable parameters of its network; None where the data's inputs were not counted.
        progress: mean over the folds of the best score so far, while it runs; None otherwise.
        continues: the trial of the previous stage whose training it continues; None where it continues none.
        folds: the folds' scores in their order.
        checkpoints: paths below the checkpoint folder, one for each fold whose checkpoint was kept.
    """

    trial: int
    rank: int | None
    state: TrialState
    stage: int
    score: float | None
    spread: float | None
    params: Params
    continues: int | None = None
    n_parameters: int | None = None
    folds: list[float | None]
    progress: float | None = None
    epoch: int
    epochs: int
    attempts: int
    worker: str | None
    duration_s: float | None
    checkpoints: list[str]
    message: str | None
    created_at: AwareDatetime
    finished_at: AwareDatetime | None


class TrialCurves(Frozen):
    """The learning curves of one trial, by fold."""

    trial: int
    curves: dict[int, Curve]


class FoldView(Frozen):
    """The learning curves and probes of one fold.

    Attributes:
        best_epoch: the epoch whose score counts, from 1; 0 where no epoch counts.
        valid_loss: validation loss by epoch; empty where the worker recorded no diagnostics.
        gap: validation loss minus the loss on training rows, at each probe.
    """

    best_epoch: int
    train_loss: list[float | None]
    valid_loss: list[float | None]
    score: list[float | None]
    probes: list[Reading]
    gap: list[float | None]


class TrialDiagnostics(Frozen):
    """The diagnostics of a trial's folds, and the diagnoses made from them; empty before the trial's end."""

    trial: int
    metric: MetricSpec
    diagnoses: list[Diagnosis]
    folds: dict[int, FoldView]


class Leaderboard(Frozen):
    """A page of the ranking.

    Attributes:
        baseline: the score of the constant answer, see `SearchView`.
        cursor: requests the next page; None at the end.
    """

    search: str
    metric: MetricSpec
    baseline: float | None = None
    rows: list[TrialView]
    cursor: str | None


class SearchView(Frozen):
    """The summary of a search.

    Attributes:
        id: also the name of its checkpoint folder.
        baseline: the score of the constant answer, mean over the folds as a trial's; None where an earlier version
            stored the search.
        dataset: what its spec calls its data.
        fingerprint: of its data.
        trials: number of planned trials; None for no limit.
        counts: number of trials by state.
        member_steps_per_s: throughput of the last reports, in steps times members a second; None when nothing trains.
        notes: remarks of the master about the search, one sentence each.
        checks: results of the checks before it; None where none were requested, or they are not done yet.
        checkpoint_dir: the folder of its checkpoints on the master.
    """

    id: str
    name: str
    state: SearchState
    method: str
    task: Task
    metric: MetricSpec
    baseline: float | None = None
    dataset: str
    fingerprint: str
    stage: int
    n_stages: int
    trials: int | None
    counts: dict[TrialState, int]
    n_folds: int
    best: TrialView | None
    member_steps_per_s: float | None
    notes: list[str]
    checks: CheckReport | None = None
    checkpoint_dir: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    stages: list[StageView]


class WorkerView(Frozen):
    """A worker as operators see it.

    Attributes:
        live: whether it was seen within the time of a lease, after which a silent worker counts as gone.
    """

    worker: int
    name: str
    device: str
    last_seen_at: AwareDatetime
    running: int
    live: bool


StageView.model_rebuild()
