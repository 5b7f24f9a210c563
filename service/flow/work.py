"""Use case: give out what it takes to train a trial again, for commands that do so on a user's machine."""

from __future__ import annotations

from sqlalchemy import Connection

from foldstep.service.contract.errors import Conflict
from foldstep.service.contract.final import ENSEMBLE
from foldstep.service.contract.lease import LeasedTrial, Work
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import TrialState
from foldstep.service.db import continued, ranking, rungs, scores, searches, stages
from foldstep.service.db.ranking import TrialRow
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.rungs import next_rung

_TRAINED = (TrialState.COMPLETED, TrialState.DIVERGED, TrialState.PRUNED, TrialState.UNDEFINED)
_WITHOUT_SCORE = (TrialState.DIVERGED, TrialState.UNDEFINED)


def work(context: Context, search_id: str, number: int) -> Work:
    """Build what it takes to train a trial again from its first epoch, as a worker without a snapshot would get it.

    Raises:
        NotFound: there is no such search or trial.
        Conflict: the trial was not trained to its end, so there is nothing to train again.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        trial = ranking.get(connection, search_id, number)
        if trial.state not in _TRAINED:
            raise Conflict(
                f"Trial {number} of {search_id} is {trial.state}; only a trial that was trained can be trained again."
            )
        continues = {} if trial.continues is None else {number: trial.continues}
        legs = continued.legs(connection, search_id, continues).get(number, [])
        until, folds = _reached(connection, search, trial)
    own = search.purpose == ENSEMBLE
    leased = LeasedTrial(number=number, params=trial.params, until=until, folds=folds, legs=legs, own_epochs=own)
    return Work(search=search_id, problem=search.problem, trial=leased)


def _reached(connection: Connection, search: SearchRow, trial: TrialRow) -> tuple[int | None, int | None]:
    """Find the epoch and the number of folds that a trial reached; None for all of them."""
    if trial.state is TrialState.PRUNED:
        key = (search.id, trial.number)
        n_folds = len(scores.of_trials(connection, [key])[key])
        return trial.epoch, n_folds if n_folds < search.problem.n_folds else None
    if trial.state in _WITHOUT_SCORE and search.spec.early_stop is not None:
        return _last_rung(connection, search, trial)  # the folds that have a score waited there
    return None, None


def _last_rung(connection: Connection, search: SearchRow, trial: TrialRow) -> tuple[int | None, int | None]:
    """Find the epoch and the folds of the rung that a trial without a score was on its way to."""
    plan = StagePlan.model_validate(stages.get(connection, search.id, trial.stage).plan)
    on_rungs = rungs.on_rungs(connection, search.id, trial.stage)
    rung = next_rung(search, plan, next(row for row in on_rungs if row.number == trial.number))
    return (None, None) if rung is None else (rung.epoch, rung.folds)
