"""What the finished trials of a stage say: ranked, and the good ones told from the noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from foldstep.service.contract.space import Params
from foldstep.service.contract.spec import Direction
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord

GOOD_SHARE = 0.2  # of a stage's trials, the best ones that are good whatever the noise
MIN_GOOD = 5

_TELLING = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.DIVERGED)
"""States in which a trial says something of its hyperparameters; a failed one says something of a worker."""


class Judged(NamedTuple):
    """A finished trial.

    Attributes:
        number: within its search.
        params: its hyperparameters.
        loss: the score, negated where more is better; infinite for a diverged trial.
        spread: standard deviation over the folds; 0 where it is not known.
    """

    number: int
    params: Params
    loss: float
    spread: float


def judge(records: Iterable[TrialRecord], direction: Direction) -> list[Judged]:
    """The finished trials, best first; equal ones by number."""
    sign = 1.0 if direction == "minimize" else -1.0
    telling = sorted((r for r in records if r.state in _TELLING), key=lambda r: r.number)
    judged = [Judged(r.number, r.params, _loss(r, sign), r.spread or 0.0) for r in telling]
    return sorted(judged, key=lambda trial: trial.loss)


def good_trials(trials: Sequence[Judged], n_folds: int) -> list[Judged]:
    """The best fifth, at least five, and every other that is within the noise of the best.

    The noise is the standard error of a mean over the folds, as a typical one of the best trials has it. The
    folds are shared, which makes differences between trials less noisy than this: it errs towards keeping.

    Args:
        trials: best first, see `judge`.
        n_folds: folds that each score is the mean of.
    """
    finite = [trial for trial in trials if math.isfinite(trial.loss)]
    n_best = max(MIN_GOOD, math.ceil(GOOD_SHARE * len(trials)))
    if not finite:
        return []
    noise = median(trial.spread for trial in finite[:n_best]) / math.sqrt(n_folds)
    within_noise = sum(trial.loss <= finite[0].loss + noise for trial in finite)
    return finite[: max(n_best, within_noise)]


def _loss(record: TrialRecord, sign: float) -> float:
    is_worst = record.state is TrialState.DIVERGED or record.score is None or not math.isfinite(record.score)
    return math.inf if is_worst else sign * (record.score or 0.0)
