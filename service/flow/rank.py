"""Use case: show the leaderboard, a page at a time, and single trials."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Connection

from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.leaderboard import Leaderboard, OrderBy, TrialCurves, TrialView
from foldstep.service.db import ranking, scores, searches, workers
from foldstep.service.db.ranking import REST, TrialRow
from foldstep.service.db.scores import StoredFold
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.context import Context

MAX_LIMIT = 1000


def leaderboard(
    context: Context, search_id: str, *, limit: int = 50, cursor: str | None = None, order_by: OrderBy = "score"
) -> Leaderboard:
    """List a page of the ranking: scored trials, then those in training, then undefined, diverged and failed ones.

    Args:
        context: of the master.
        search_id: the search.
        limit: rows of a page, 1 to 1000.
        cursor: of the page before; None for the first page.
        order_by: `score` (ties by number), or `number`.

    Raises:
        NotFound: there is no such search.
        InvalidInput: the cursor is not one of this leaderboard's.
    """
    after = None if cursor is None else _Cursor.read(cursor, order_by)
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        rows = _page(connection, search_id, after, limit + 1, order_by)
        ranks = _ranks(connection, search_id, rows[:limit])
        page = trial_views(connection, [(search, row, rank) for row, rank in zip(rows, ranks, strict=False)])
    following = _Cursor.after(rows[limit - 1], order_by).text if len(rows) > limit else None
    baseline = search.problem.baseline
    return Leaderboard(search=search_id, metric=search.metric, baseline=baseline, rows=page, cursor=following)


def trial(context: Context, search_id: str, number: int) -> TrialView:
    """Find one trial, with its rank.

    Raises:
        NotFound: there is no such search or trial.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        row = ranking.get(connection, search_id, number)
        return trial_views(connection, [(search, row, ranking.rank_of(connection, search_id, row))])[0]


def curves(context: Context, search_id: str, number: int) -> TrialCurves:
    """Read the learning curves of one trial, by fold; none before its first result.

    Raises:
        NotFound: there is no such search or trial.
    """
    with context.database.read() as connection:
        searches.get(connection, search_id)
        ranking.get(connection, search_id, number)
        return TrialCurves(trial=number, curves=scores.curves(connection, search_id, number))


def trial_views(connection: Connection, ranked: Sequence[tuple[SearchRow, TrialRow, int | None]]) -> list[TrialView]:
    """Make the views of trials of any searches, each given with its search and its rank there; two queries for all."""
    rows = [row for _, row, _ in ranked]
    keys = [(row.search_id, row.number) for row in rows]
    folds = scores.of_trials(connection, keys)
    names = workers.names(connection, {row.worker_id for row in rows if row.worker_id is not None})
    return [
        _view(row, rank, _n_parameters(search, row, of_trial), of_trial, names)
        for (search, row, rank), of_trial in zip(ranked, map(folds.__getitem__, keys), strict=True)
    ]


def _n_parameters(search: SearchRow, row: TrialRow, folds: Sequence[StoredFold]) -> int | None:
    """Find the size of a trial's networks as their workers counted it, else as the data of all rows have it."""
    counted = [fold.n_parameters for fold in folds if fold.n_parameters is not None]
    if counted:
        return max(counted)
    n_inputs, n_outputs = search.problem.n_inputs, search.problem.n_outputs
    if n_inputs is None or n_outputs is None:
        return None
    return _size_of(json.dumps(row.params), n_inputs, n_outputs)


@lru_cache(maxsize=4096)  # the same rows are looked at again and again
def _size_of(params: str, n_inputs: int, n_outputs: int) -> int | None:
    hp = resolve(json.loads(params))
    return None if hp.has_stage else hp.n_parameters(n_inputs, n_outputs)  # a stage depends on the fold's columns


def _ranks(connection: Connection, search_id: str, rows: Sequence[TrialRow]) -> list[int | None]:
    """Compute the ranks of rows: where they follow each other in rank, that of the first one is enough."""
    keys = [(row.rank_key, row.number) for row in rows if row.rank_key is not None]
    if keys != sorted(keys):
        return ranking.ranks_of(connection, search_id, rows)
    first = ranking.rank_of(connection, search_id, rows[0]) if keys else None
    return [None if row.rank_key is None or first is None else first + i for i, row in enumerate(rows)]


def _view(
    row: TrialRow,
    rank: int | None,
    size: int | None,
    folds: Sequence[StoredFold],
    names: dict[int, str],
) -> TrialView:
    return TrialView(
        trial=row.number,
        rank=rank,
        state=row.state,
        stage=row.stage,
        score=row.score,
        spread=row.spread,
        params=row.params,
        continues=row.continues,
        n_parameters=size,
        folds=[fold.score for fold in folds],
        progress=row.progress,
        epoch=row.epoch,
        epochs=row.epochs,
        attempts=row.attempts,
        worker=None if row.worker_id is None else names.get(row.worker_id),
        duration_s=row.duration_s,
        checkpoints=[fold.checkpoint for fold in folds if fold.checkpoint is not None],
        message=row.message,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _page(
    connection: Connection, search_id: str, after: _Cursor | None, limit: int, order_by: OrderBy
) -> list[TrialRow]:
    number = None if after is None else after.number
    if order_by == "number":
        return ranking.by_number(connection, search_id, number, limit)
    rows = []
    if after is None or after.part == "scored":
        key = None if after is None else (after.key, after.number)
        rows = ranking.scored(connection, search_id, key, limit)
    if len(rows) < limit:
        group = None if after is None or after.part == "scored" else (int(after.key), after.number)
        rows += ranking.unscored(connection, search_id, group, limit - len(rows))
    return rows


class _Cursor:
    """Where a page ended: the part of the leaderboard, the key of the last row in it, and its number."""

    def __init__(self, part: str, key: float, number: int) -> None:
        self.part = part
        self.key = key
        self.number = number

    @classmethod
    def after(cls, row: TrialRow, order_by: OrderBy) -> _Cursor:
        if order_by == "number":
            return cls("number", 0, row.number)
        if row.rank_key is not None:
            return cls("scored", row.rank_key, row.number)
        return cls("unscored", REST.index(row.state), row.number)

    @classmethod
    def read(cls, text: str, order_by: OrderBy) -> _Cursor:
        try:
            part, key, number = json.loads(base64.urlsafe_b64decode(text.encode()))
            cursor = cls(str(part), float(key), int(number))
        except (ValueError, TypeError, OverflowError, binascii.Error):
            raise _bad_cursor(text) from None
        if cursor.part not in (("number",) if order_by == "number" else ("scored", "unscored")):
            raise _bad_cursor(text)
        return cursor

    @property
    def text(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.part, self.key, self.number]).encode()).decode()


def _bad_cursor(text: str) -> InvalidInput:
    expected = "the cursor of a page before, in the same order"
    fault = Fault(code="bad_cursor", path="cursor", expected=expected, got=text)
    return InvalidInput(f"This page does not exist: {fault}.", faults=[fault])
