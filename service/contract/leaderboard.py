"""The records that users read: searches, trials, rankings, borders."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, Field

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.diagnose import Diagnosis
from foldstep.service.contract.diagnostics import Reading
from foldstep.service.contract.refit import Refitted
from foldstep.service.contract.report import Curve
from foldstep.service.contract.space import Frozen, Params, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.states import SearchState, TrialState

OrderBy: TypeAlias = Literal["score", "number"]
Activity: TypeAlias = Literal["waiting", "checking", "starting", "training", "proposing", "paused", "ended"]
"""Of a search: it waits for a worker; a worker checks it; a worker prepares the data for the first epoch; trials train;
all planned trials have ended and the next ones are being chosen; it is paused; it has ended."""


class StageView(Frozen):
    """One stage: its plan and its progress.

    Attributes:
        finished: trials that have ended, without those that were cancelled.
    """

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
        n_parameters: number of trainable parameters of its network, the greatest of its folds; before a fold has ended,
            that for the inputs of all rows; None where these were not counted, or where it has an input stage, whose
            size depends on the fold's columns.
        progress: the score of its epochs so far, while it runs; None otherwise.
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
        best_epoch: the epoch whose network is kept, from 1; 0 where no epoch counts.
        valid_loss: validation loss by epoch; empty where the worker recorded no diagnostics.
        gap: validation loss minus the loss on training rows, at each probe.
        target_scores: the metric of each of several targets, averaged as the score is; empty for one target.
    """

    best_epoch: int
    train_loss: list[float | None]
    valid_loss: list[float | None]
    score: list[float | None]
    probes: list[Reading]
    gap: list[float | None]
    target_scores: list[float | None] = Field(default_factory=list)


class TrialDiagnostics(Frozen):
    """The diagnostics of a trial's folds, and the diagnoses made from them; empty before the trial's end.

    Attributes:
        targets: the columns that are predicted.
    """

    trial: int
    targets: list[str] = Field(default_factory=list)
    metric: MetricSpec
    diagnoses: list[Diagnosis]
    folds: dict[int, FoldView]


class Leading(Frozen):
    """The best trial among those in training.

    Attributes:
        score: that of its epochs so far.
    """

    trial: int
    score: float


class SearchProgress(Frozen):
    """How far a search is; after its end, what was trained.

    Attributes:
        activity: what the search is doing, or waiting for.
        epochs_done: epochs trained so far, summed over the trials; one that continues another counts with the epochs
            that it took over.
        epochs_planned: epochs at the end, summed over all trials: `epochs_done` and those still to come. With early
            stopping an expectation. None where the number of trials has no limit.
        trials_done: trials that have ended, without those that were cancelled.
        trials_planned: the trials of all stages; after the end `trials_done`. None for no limit.
        stopped_early: trials that ended before their last epoch, at a rung or with the time.
        diverged: trials that ended with a loss that is not finite.
        failed: trials that ended with an error.
        members: networks in training.
        member_steps_per_s: steps times members a second over the last reports, smoothed; None when nothing trains.
        time_left_s: estimate of the seconds to the end; None as long as nothing is known.
        leading: None where no trial in training has a score yet.
    """

    activity: Activity
    epochs_done: int
    epochs_planned: int | None
    trials_done: int
    trials_planned: int | None
    stopped_early: int
    diverged: int
    failed: int
    members: int
    member_steps_per_s: float | None
    time_left_s: float | None
    leading: Leading | None


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
        progress: how far it is.
        member_steps_per_s: as in `progress`.
        notes: remarks of the master about the search, one sentence each.
        checks: results of the checks before it; None where none were requested, or they are not done yet.
        checkpoint_dir: the folder of its checkpoints on the master.
        follows: the search after whose end it was begun; None where a user submitted it.
        purpose: what for: `refit`, `reseed`, or `outer-1` and so on.
        refits: which trials of that search it trains again, where that is its purpose; None elsewhere.
        followers: the searches that are to follow it, by their purpose: the id of each that was begun.
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
    progress: SearchProgress
    member_steps_per_s: float | None
    notes: list[str]
    checks: CheckReport | None = None
    checkpoint_dir: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    stages: list[StageView]
    follows: str | None = None
    purpose: str | None = None
    refits: Refitted | None = None
    followers: dict[str, str | None] = Field(default_factory=dict)


class WorkerView(Frozen):
    """A worker as operators see it.

    Attributes:
        live: whether it was seen within the time of a lease, after which a silent worker counts as gone, and is not
            known to be dead.
    """

    worker: int
    name: str
    device: str
    last_seen_at: AwareDatetime
    running: int
    live: bool


StageView.model_rebuild()
