"""The rows of `folds`: scores, learning curves and checkpoints, one row for each (trial, fold)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, false, insert, or_, select, update

from foldstep.service.contract.diagnostics import Diagnostics
from foldstep.service.contract.report import Curve, FoldResult
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import IS_KEPT, folds
from foldstep.service.db.tables import trials as all_trials


class StoredFold(NamedTuple):
    """What a leaderboard shows of a fold: score, name of the checkpoint, number of parameters of its network."""

    score: float | None
    checkpoint: str | None
    n_parameters: int | None


_ADD = Prepared(insert(folds), columns=[column.name for column in folds.c])


def replace(connection: Connection, search_id: str, results: Sequence[tuple[int, FoldResult]]) -> None:
    """Insert the folds of trials as `add` does, in place of those stored at an earlier rung."""
    numbers = {trial for trial, _ in results}
    connection.execute(delete(folds).where(folds.c.search_id == search_id, folds.c.trial.in_(numbers)))
    add(connection, search_id, results)


def add(connection: Connection, search_id: str, results: Sequence[tuple[int, FoldResult]]) -> None:
    """Insert the folds of trials that were not stored before, given as (trial number, fold)."""
    rows = [
        {
            "search_id": search_id,
            "trial": trial,
            "fold": fold.fold,
            "score": fold.score if fold.score is not None and math.isfinite(fold.score) else None,
            "best_epoch": fold.best_epoch,
            "epochs": fold.epochs,
            "n_parameters": fold.n_parameters,
            "train_loss": fold.curve.train_loss,
            "scores": fold.curve.score,
            "checkpoint": fold.checkpoint,
            "diagnostics": fold.diagnostics.flat() if fold.diagnostics is not None else None,
            "target_scores": fold.target_scores or None,
        }
        for trial, fold in results
    ]
    if rows:
        _ADD.change_all(connection, rows)


def of_trials(connection: Connection, trials: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[StoredFold]]:
    """Read every fold in order, for trials of any searches, each given as (search, number)."""
    by_search: dict[str, list[int]] = {}
    for search_id, trial in trials:
        by_search.setdefault(search_id, []).append(trial)
    # one condition a search: SQLite would read the whole table for `(search_id, trial) IN (…)`
    wanted = [(folds.c.search_id == s) & folds.c.trial.in_(numbers) for s, numbers in by_search.items()]
    statement = (
        select(folds.c.search_id, folds.c.trial, folds.c.score, folds.c.checkpoint, folds.c.n_parameters)
        .where(or_(false(), *wanted))
        .order_by(folds.c.search_id, folds.c.trial, folds.c.fold)
    )
    found: dict[tuple[str, int], list[StoredFold]] = {key: [] for key in trials}
    for search_id, trial, *fold in connection.execute(statement):
        found[search_id, trial].append(StoredFold(*fold))
    return found


def curves(connection: Connection, search_id: str, trial: int) -> dict[int, Curve]:
    """Read the learning curves of a trial, by fold."""
    statement = select(folds.c.fold, folds.c.train_loss, folds.c.scores).where(
        folds.c.search_id == search_id, folds.c.trial == trial
    )
    return {
        fold: Curve(train_loss=loss, score=score)
        for fold, loss, score in connection.execute(statement.order_by(folds.c.fold))
    }


_OF_TRIAL = select(
    folds.c.fold,
    folds.c.score,
    folds.c.best_epoch,
    folds.c.epochs,
    folds.c.n_parameters,
    folds.c.train_loss,
    folds.c.scores,
    folds.c.checkpoint,
    folds.c.diagnostics,
    folds.c.target_scores,
).order_by(folds.c.fold)


def results(connection: Connection, search_id: str, trial: int) -> list[FoldResult]:
    """Read all that is stored of a trial's folds, in their order."""
    found = connection.execute(_OF_TRIAL.where(folds.c.search_id == search_id, folds.c.trial == trial))
    return [
        FoldResult(
            fold=row.fold,
            score=row.score,
            best_epoch=row.best_epoch,
            epochs=row.epochs,
            n_parameters=row.n_parameters,
            curve=Curve(train_loss=row.train_loss, score=row.scores),
            checkpoint=row.checkpoint,
            diagnostics=None if row.diagnostics is None else Diagnostics.from_flat(row.diagnostics),
            target_scores=row.target_scores or [],
        )
        for row in found
    ]


def take_checkpoints(connection: Connection, search_id: str, trials: Sequence[int]) -> list[str]:
    """Forget the checkpoints of some trials, and return their names, so that the files can be deleted."""
    of_trials = (folds.c.search_id == search_id, folds.c.trial.in_(trials), folds.c.checkpoint.is_not(None))
    names = [n for n in connection.execute(select(folds.c.checkpoint).where(*of_trials)).scalars() if n is not None]
    if names:
        connection.execute(update(folds).where(*of_trials).values(checkpoint=None))
    return names


def checkpoints(connection: Connection, search_id: str) -> set[str]:
    """Find the names of every checkpoint that a search keeps."""
    of_trial = (folds.c.search_id == all_trials.c.search_id) & (folds.c.trial == all_trials.c.number)
    kept = (all_trials.c.search_id == search_id, IS_KEPT, folds.c.checkpoint.is_not(None))
    statement = select(folds.c.checkpoint).select_from(all_trials.join(folds, of_trial)).where(*kept)
    return {n for n in connection.execute(statement).scalars() if n is not None}
