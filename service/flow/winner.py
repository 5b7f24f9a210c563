"""Use case: tell how sure it is that the best trial of a search is the best one."""

from __future__ import annotations

from foldstep.service.analysis.rivals import WinnerRequest, winner
from foldstep.service.contract.spec import CvSpec
from foldstep.service.contract.winner import ComparedTrial, Winner
from foldstep.service.db import counts, ranking, searches
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.rank import MAX_LIMIT, trial_views


def of_search(context: Context, search_id: str) -> Winner | None:
    """Compare the best trial of a search with up to 1,000 others; None before the first score.

    Raises:
        NotFound: there is no such search.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        version = counts.version(connection, search_id)
    return context.answers.get((search_id, "winner"), version, lambda: _compare(context, search))


def _compare(context: Context, search: SearchRow) -> Winner | None:
    with context.database.read() as connection:
        rows = ranking.scored(connection, search.id, None, MAX_LIMIT)
        views = trial_views(connection, [(search, row, None) for row in rows])
        n_ranked = ranking.n_ranked(connection, search.id)
    compared = [
        ComparedTrial(trial=view.trial, folds=folds, n_parameters=view.n_parameters)
        for view in views
        for folds in [[score for score in view.folds if score is not None]]
        if len(folds) == search.problem.n_folds
    ]
    if not compared:
        return None
    share = share_of(search.problem.cv, search.problem.n_folds)
    return winner(WinnerRequest(metric=search.metric.name, trials=compared, share=share, n_ranked=n_ranked))


def share_of(cv: CvSpec, n_folds: int) -> float:
    """Compute how many validation rows there are to a training row of a fold."""
    if cv.holdout is not None:
        return cv.holdout / (1 - cv.holdout)
    return 1 / max(1, n_folds // cv.repeats - 1)
