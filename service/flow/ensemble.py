"""Use cases: find the ensemble of a search, and read the out-of-fold predictions of a trial."""

from __future__ import annotations

import math
from functools import partial

from foldstep.models.checkpoint import read_facts, reading_facts
from foldstep.service.analysis.child import ensemble_in_child
from foldstep.service.analysis.ensemble import Candidate, EnsembleRequest
from foldstep.service.analysis.kept import read_predictions
from foldstep.service.contract.ensemble import Ensemble, TrialPredictions
from foldstep.service.contract.errors import Conflict
from foldstep.service.contract.spec import CvSpec
from foldstep.service.data.allowance import limits_to_compute
from foldstep.service.db import counts, ranking, scores, searches
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.flow.ensemble_members import Members, trained_members, whole_trials

MOST_CANDIDATES = 50
"""The best trials of a search that may join its ensemble."""
PAUSE_S = 20
"""While a search goes on its ensemble is chosen at most so often: the choice takes a core that may be a worker's."""


def ensemble(context: Context, search_id: str) -> Ensemble | None:
    """Find the trials that predict together, from the trials that have ended by now; None before the first score.

    While a search goes on the answer may be some seconds old.

    Raises:
        NotFound: there is no such search.
        Unavailable: it could not be computed.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        ended = counts.version(connection, search_id)
        members = trained_members(connection, context, search)
    turn = ended if search.is_over else context.now().timestamp() // PAUSE_S
    version = (search.is_over, turn, repr(members))
    return context.answers.get(
        (search_id, "ensemble"), version, lambda: _of_candidates(context, search, members),
        may_be_older=not search.is_over,
    )  # fmt: skip


def _of_candidates(context: Context, search: SearchRow, members: Members | None) -> Ensemble | None:
    candidates = _candidates(context, search, MOST_CANDIDATES if members is None else 1)
    if not candidates:
        return None
    version = (repr(candidates), repr(members))
    choose = partial(_choose, context, search, candidates, members)
    return context.answers.get((search.id, "candidates"), version, choose)


def _choose(
    context: Context, search: SearchRow, candidates: list[Candidate], members: Members | None
) -> Ensemble | None:
    final = search.spec.final
    request = EnsembleRequest(
        search=search.id,
        candidates=[*candidates, *([] if members is None else members.trials)],
        metric=search.metric.name,
        task=search.problem.task,
        levels=list(search.problem.data.quantiles or []),
        members=final.most_members,
        by_fold=search.problem.n_folds > 1 and _is_in_one_fold(search.problem.cv),
        calibrate=final.calibrate is not False,
        threshold=final.threshold,
        given=None if members is None else members.given,
    )
    return ensemble_in_child(request, limits=limits_to_compute(context.settings))


def _is_in_one_fold(cv: CvSpec) -> bool:
    """Tell whether no row is in the validation parts of two folds."""
    return cv.repeats == 1


def _candidates(context: Context, search: SearchRow, limit: int) -> list[Candidate]:
    """List the best trials that have a checkpoint of every fold, the best one first."""
    with context.database.read() as connection:
        rows = ranking.scored(connection, search.id, None, limit)
        return whole_trials(connection, context, search, rows)


def predictions(context: Context, search_id: str, number: int) -> TrialPredictions:
    """Read what a trial's networks say of the rows that they were not trained on.

    Raises:
        NotFound: there is no such search or trial.
        Conflict: the trial has no predictions, or not any more.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        ranking.get(connection, search_id, number)
        folds = scores.of_trials(connection, [(search_id, number)])[search_id, number]
    folder = files.checkpoint_folder(context.settings, search_id)
    names = [fold.checkpoint for fold in folds if fold.checkpoint is not None]
    found = read_predictions(folder, names)
    if not found or len(found) != search.problem.n_folds:
        raise Conflict(
            f"Trial {number} of {search_id} has no out-of-fold predictions: they are kept with the checkpoints of the "
            "best trials (`checkpoints.keep`), unless `checkpoints.predictions` is false."
        )
    return TrialPredictions(
        trial=number,
        columns=_columns(search, str(folder / names[0])),
        folds=[fold for fold, one in enumerate(found) for _ in one.rows],
        rows=[row for one in found for row in one.rows.tolist()],
        truth=[value for one in found for value in one.truth.tolist()],
        predictions=[[_finite(v) for v in row] for one in found for row in one.predictions.tolist()],
    )


def _columns(search: SearchRow, path: str) -> list[str]:
    """Name the numbers of a prediction: classes, quantiles or targets."""
    data = search.problem.data
    if search.problem.task == "classification":
        with reading_facts():
            return [str(label) for label in read_facts(path)["target"]["classes"]]
    if data.quantiles:
        return [f"{data.targets[0]}_{level:g}" for level in data.quantiles]
    return data.targets


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
