"""Select the ended trials that tell something about their hyperparameters, rank them, and pick the good ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.space import Params
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord

GOOD_SHARE = 0.2  # share of a stage's trials that are good whatever the noise
MIN_GOOD = 5

TELLING = frozenset({TrialState.COMPLETED, TrialState.PRUNED, TrialState.DIVERGED})
"""States in which a trial tells something about its hyperparameters."""


@dataclass(frozen=True)
class Evidence:
    """The trials that tell something about their hyperparameters, in the order of their numbers.

    All planners and the analysis use this one selection. A failed trial tells something about a worker, not about its
    hyperparameters, one whose metric is undefined something about the data, and a cancelled or unfinished trial tells
    nothing. Batches and budgets do count failed trials,
    and undefined ones, because they have ended.

    Raises:
        ValueError: a trial in another state.
    """

    trials: tuple[TrialRecord, ...]

    def __post_init__(self) -> None:
        for trial in self.trials:
            if trial.state not in TELLING:
                raise ValueError(f"expected trials that say something, however: trial {trial.number} is {trial.state}")

    @classmethod
    def of(cls, records: Iterable[TrialRecord]) -> Evidence:
        """Select the trials of a history whose state is in `TELLING`."""
        telling = (record for record in records if record.state in TELLING)
        return cls(tuple(sorted(telling, key=lambda record: record.number)))

    def losses(self, direction: Direction) -> list[float]:
        """List the loss of each trial; infinite, so worse than any other, where it diverged or has no finite score."""
        return [_loss(trial, direction) for trial in self.trials]


class Judged(NamedTuple):
    """A trial with its loss.

    Attributes:
        number: within its search.
        params: its hyperparameters.
        loss: see `Evidence.losses`.
        spread: standard deviation over the folds; 0 where it is not known.
    """

    number: int
    params: Params
    loss: float
    spread: float


def judge(evidence: Evidence, direction: Direction) -> list[Judged]:
    """Rank trials, the best first; equal ones by number."""
    pairs = zip(evidence.trials, evidence.losses(direction), strict=True)
    judged = [Judged(trial.number, trial.params, loss, trial.spread or 0.0) for trial, loss in pairs]
    return sorted(judged, key=lambda trial: trial.loss)


def good_trials(trials: Sequence[Judged], n_folds: int) -> list[Judged]:
    """Select the best fifth, at least five, and every other trial that is within the noise of the best.

    The noise is the standard error of a mean over the folds, typical (median) for the best trials. All trials share
    the folds, which makes differences between trials less noisy than this: so rather too many trials are kept.

    Args:
        trials: best first, see `judge`.
        n_folds: number of folds that each score is the mean of.
    """
    finite = [trial for trial in trials if math.isfinite(trial.loss)]
    n_best = max(MIN_GOOD, math.ceil(GOOD_SHARE * len(trials)))
    if not finite:
        return []
    noise = median(trial.spread for trial in finite[:n_best]) / math.sqrt(n_folds)
    within_noise = sum(trial.loss <= finite[0].loss + noise for trial in finite)
    return finite[: max(n_best, within_noise)]


def _loss(trial: TrialRecord, direction: Direction) -> float:
    if trial.state is TrialState.DIVERGED or trial.score is None or not math.isfinite(trial.score):
        return math.inf
    return direction.loss_of(trial.score)
