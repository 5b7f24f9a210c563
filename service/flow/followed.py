"""Use cases: tell what the searches that follow one have found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy import Connection

from foldstep.service.analysis.reseeding import Again, reseed_report
from foldstep.service.contract.final import OUTER, RESEED, OuterReport, OuterScore, ReseedReport
from foldstep.service.contract.numbers import score as written
from foldstep.service.contract.states import SearchState
from foldstep.service.db import finals, ranking, searches
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.follow import without_seed
from foldstep.service.flow.rank import MAX_LIMIT, trial_views
from foldstep.service.flow.winner import share_of


def reseeded(connection: Connection, first: SearchRow) -> ReseedReport | None:
    """Tell what other seeds say of the best trials of a search; None before the end of the search that trains them."""
    row = next((r for r in searches.followers(connection, first.id) if r.purpose == RESEED), None)
    if row is None or row.state is not SearchState.COMPLETED:
        return None
    found = list(_again(connection, first, row))
    if not found:
        return None
    share = share_of(first.problem.cv, first.problem.n_folds)
    return reseed_report(row.id, first.metric.name, share, found)


def _again(connection: Connection, first: SearchRow, row: SearchRow) -> Iterator[Again]:
    """Yield each configuration with its scores under other seeds, in the order of the first search's ranking."""
    views = trial_views(connection, [(row, r, None) for r in ranking.scored(connection, row.id, None, MAX_LIMIT)])
    left = [(without_seed(view.params), view) for view in views if None not in view.folds]
    for trial in ranking.scored(connection, first.id, None, MAX_LIMIT):
        free = without_seed(trial.params)
        own = [view for params, view in left if params == free]
        left = [(params, view) for params, view in left if params != free]
        if own and trial.score is not None:
            yield Again(trial.number, trial.score, [_known(v.folds) for v in own], own[0].n_parameters)


def _known(folds: Sequence[float | None]) -> list[float]:
    return [score for score in folds if score is not None]


def nested(connection: Connection, first: SearchRow) -> OuterReport | None:
    """Tell what nested cross-validation says of a search; None where its spec has no outer folds."""
    n_folds = first.spec.cv.outer
    if n_folds is None:
        return None
    scores = list(_outer_scores(connection, first))
    values = [one.score for one in scores]
    mean = float(np.mean(values)) if values else None
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    sentences = _sentences(first, n_folds, len(values), mean, error)
    return OuterReport(n_folds=n_folds, scores=scores, mean=mean, standard_error=error, sentences=sentences)


def outer_searches(connection: Connection, first: SearchRow) -> list[SearchRow]:
    """List the completed searches without an outer fold."""
    found = [r for r in searches.followers(connection, first.id) if r.purpose and r.purpose.startswith(OUTER)]
    return [row for row in found if row.state is SearchState.COMPLETED]


def _outer_scores(connection: Connection, first: SearchRow) -> Iterator[OuterScore]:
    for row in outer_searches(connection, first):
        model = finals.last(connection, row.id)
        if model is not None and model.test is not None:
            yield OuterScore(search=row.id, score=model.test.score, n_rows=model.test.n_rows)


def _sentences(first: SearchRow, n_folds: int, n: int, mean: float | None, error: float | None) -> list[str]:
    if mean is None:
        return [f"None of the {n_folds} outer folds of nested cross-validation has a score yet."]
    of_all = f"{n_folds} outer folds" if n == n_folds else f"{n} of {n_folds} outer folds by now"
    between = "" if error is None else f" ± {written(error)} (standard error)"
    return [
        f"Nested cross-validation, {of_all}: {first.metric.name} {written(mean)}{between}. That is what this whole "
        "procedure, with its choice of the best, says of new rows."
    ]
