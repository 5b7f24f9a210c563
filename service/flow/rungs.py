"""Use case: decide at each rung which trials are promoted and which are pruned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from foldstep.service.contract.report import FoldResult, TrialResult
from foldstep.service.contract.spec import EarlyStopSpec
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TrialState
from foldstep.service.db import rungs, stages
from foldstep.service.db.rungs import PausedTrial, PrunedTrial, RungRow
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.trials import ClaimedTrial, RungScores
from foldstep.service.flow.score import mean_and_spread, rank_key
from foldstep.service.planner.rungs import Climber, Rung, Verdict, decide, ladder

_LOST = (TrialState.DIVERGED, TrialState.FAILED, TrialState.UNDEFINED)
_STOPPABLE = (TrialState.PAUSED, TrialState.RUNNING, TrialState.WAITING)


def next_rung(search: SearchRow, plan: StagePlan, trial: ClaimedTrial | RungRow) -> Rung | None:
    """Find the rung up to which a trial may train under a new lease; None if it may train to its end."""
    rules = search.spec.early_stop
    if rules is None:
        return None
    ahead = ladder(rules, trial.number - plan.first_trial, trial.epochs, search.problem.n_folds)[
        len(trial.rungs or ()) :
    ]
    return ahead[0] if ahead else None


def paused(result: TrialResult, reached: RungScores | None, resume: str | None) -> PausedTrial:
    """Build the record of a trial that has reached its next rung.

    Args:
        result: as reported.
        reached: the folds' scores at its rungs so far.
        resume: the stored name of its snapshot; None without one.
    """
    scores = fold_scores(result.folds)
    return PausedTrial(
        number=result.trial,
        epoch=max((fold.epochs for fold in result.folds), default=0),
        progress=mean_and_spread(scores)[0],
        duration_s=result.duration_s,
        resume=resume,
        rungs=[*(reached or []), scores],
    )


def to_the_end(search: SearchRow, row: RungRow, scores: list[float | None]) -> RungScores | None:
    """Complete the rung scores of an ended trial: its last scores stand for the rungs that it did not reach."""
    rules = search.spec.early_stop
    if rules is None:
        return None
    n_rungs = len(ladder(rules, 0, row.epochs, search.problem.n_folds))  # no bracket has more rungs than the first
    reached = row.rungs or []
    return [*reached, *[scores] * (n_rungs + 1 - len(reached))]


def fold_scores(folds: Sequence[FoldResult]) -> list[float | None]:
    """List the scores of the folds in their order; None for one that is not finite."""
    ordered = sorted(folds, key=lambda fold: fold.fold)
    return [f.score if f.score is not None and math.isfinite(f.score) else None for f in ordered]


def climb(connection: Connection, search: SearchRow, now: datetime) -> None:
    """Promote or prune the trials at their rungs, in a locked search's present stage, where that can be decided."""
    rules = search.spec.early_stop
    if rules is None:
        return
    stage = stages.get(connection, search.id, search.stage)
    plan = StagePlan.model_validate(stage.plan)
    rows = rungs.on_rungs(connection, search.id, stage.stage)
    climbers = [_climber(search, rules, row, row.number - plan.first_trial) for row in rows]
    verdicts = decide(rules, climbers, n_folds=search.problem.n_folds, is_closed=stage.left == 0, block=plan.batch)
    pairs = list(zip(rows, climbers, strict=True))
    on = [row.number for row, c in pairs if row.state in (TrialState.PAUSED, TrialState.PRUNED) and _is_on(c, verdicts)]
    off = [row for row, c in pairs if row.state is TrialState.PAUSED and _is_off(c, verdicts)]
    rungs.promote(connection, search.id, on)
    rungs.prune(connection, search.id, [_pruned(search, row, _behind(search, row)) for row in off], now)


def close(connection: Connection, search: SearchRow, now: datetime) -> None:
    """Prune the open trials that have reached a rung, at the end of a locked search, so that they keep their scores."""
    if search.spec.early_stop is not None:
        rows = rungs.on_rungs(connection, search.id, search.stage)
        begun = [row for row in rows if row.rungs and row.state in _STOPPABLE]
        message = "The search ended before it was decided whether this trial continues."
        rungs.prune(connection, search.id, [_pruned(search, row, message) for row in begun], now)


def _climber(search: SearchRow, rules: EarlyStopSpec, row: RungRow, index: int) -> Climber:
    return Climber(
        index=index,
        losses=[[_loss(search, score) for score in scores] for scores in row.rungs or ()],
        n_rungs=len(ladder(rules, index, row.epochs, search.problem.n_folds)),
        is_lost=row.state in _LOST,
    )


def _loss(search: SearchRow, score: float | None) -> float:
    return math.inf if score is None else rank_key(search, score)


def _is_on(climber: Climber, verdicts: Sequence[Verdict]) -> bool:
    return climber.present is not None and climber.index in verdicts[climber.present].on


def _is_off(climber: Climber, verdicts: Sequence[Verdict]) -> bool:
    return climber.present is not None and climber.index in verdicts[climber.present].off


def _behind(search: SearchRow, row: RungRow) -> str:
    """Explain why a trial was stopped at its rung."""
    n_scores = len((row.rungs or [[]])[-1])
    if n_scores < search.problem.n_folds:
        return f"Clearly worse than the best trial on its first {n_scores} of {search.problem.n_folds} folds."
    return "Not among the best at its rung; it continues should later trials do worse."


def _pruned(search: SearchRow, row: RungRow, message: str) -> PrunedTrial:
    """Build the record of a pruned trial; one without all folds gets no rank, since its mean is not comparable."""
    scores = (row.rungs or [[]])[-1]
    score, spread = mean_and_spread(scores)
    is_ranked = score is not None and len(scores) == search.problem.n_folds
    return PrunedTrial(row.number, score, rank_key(search, score) if is_ranked and score is not None else None, spread,
                       message)  # fmt: skip
