"""The rows of `searches`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.errors import Conflict, IllegalTransition, NotFound
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.spec import MetricSpec, Spec
from foldstep.service.contract.states import TERMINAL_SEARCH, SearchEvent, SearchState, TrialState
from foldstep.service.db.moves import n_moved, search_move
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import counts, finals, folds, leases, searches, stages, trials


@dataclass(frozen=True)
class SearchRow:
    """A search as it is stored.

    Attributes:
        spec: as its problem resolved it (`LearningProblem.resolved`): planners ask it for the metric's direction.
        problem: the learning problem of its trials.
        deadline_at: when its time budget ends; None before the start, and where there is none.
        follows: the search after whose end it was begun; None where a user submitted it.
        purpose: what for, see `service/flow/follow.py`.
    """

    id: str
    name: str
    state: SearchState
    spec: Spec
    problem: LearningProblem
    notes: list[str]
    failure: str | None
    stage: int
    n_stages: int
    created_at: datetime
    started_at: datetime | None
    paused_at: datetime | None
    deadline_at: datetime | None
    finished_at: datetime | None
    checks: CheckReport | None = None
    follows: str | None = None
    purpose: str | None = None

    @property
    def metric(self) -> MetricSpec:
        """The metric that its trials are ranked by."""
        return self.problem.metric

    @property
    def direction(self) -> Direction:
        """Whether a greater or a smaller score is better."""
        return self.metric.direction

    @property
    def is_over(self) -> bool:
        """Whether it is in a terminal state."""
        return self.state in TERMINAL_SEARCH

    def time_left_s(self, now: datetime) -> float | None:
        """Compute the seconds left of its time budget, whose clock stops while it is paused; None if it has none."""
        if self.deadline_at is None:
            return None
        clock = self.paused_at if self.state is SearchState.PAUSED and self.paused_at else now
        return max((self.deadline_at - clock).total_seconds(), 0.0)

    @property
    def awaits_checks(self) -> bool:
        """Whether it is to be checked before its first trial, and is not yet."""
        return self.spec.checks.before and self.checks is None


class SearchLabel(NamedTuple):
    """What tells searches apart."""

    id: str
    name: str
    created_at: datetime


_COLUMNS = [c for c in searches.c if c.name not in ("submitted", "submit_key", "extended")]


_NAMES = [column.name for column in _COLUMNS]


@lru_cache(maxsize=256)
def _spec(text: str) -> Spec:
    """Parse a spec; the last ones are cached, since those of running searches are read again and again."""
    return Spec.model_validate_json(text)


@lru_cache(maxsize=256)
def _problem(text: str) -> LearningProblem:
    """Parse a learning problem; cached as in `_spec`."""
    return LearningProblem.model_validate_json(text)


def _row(row: Sequence[Any]) -> SearchRow:
    values = dict(zip(_NAMES, row, strict=True))
    checks = values["checks"]
    report = None if checks is None else CheckReport.model_validate(checks)
    parsed = {"spec": _spec(values["spec"]), "problem": _problem(values["problem"]), "checks": report}
    return SearchRow(**{**values, **parsed})


class KeyTaken(Exception):
    """Another submission with the same key was stored in the meantime."""


def add(connection: Connection, row: SearchRow, submitted: Any, key: str | None = None) -> None:
    """Insert a search.

    Args:
        connection: of a write transaction.
        row: the search.
        submitted: its spec as the user wrote it.
        key: that the client sent with its submission.

    Raises:
        Conflict: the id is taken.
        KeyTaken: a search was submitted under the key.
    """
    values = {c.name: getattr(row, c.name) for c in _COLUMNS}
    values |= {"spec": row.spec.model_dump_json(), "problem": row.problem.model_dump_json()}
    values |= {"submitted": submitted, "submit_key": key, "checks": _as_json(row.checks)}
    try:
        connection.execute(insert(searches), values)
    except IntegrityError as error:
        if key is not None and "submit_key" in str(error.orig):
            raise KeyTaken from None
        raise Conflict(f"There is a search {row.id} already.") from error


_BY_KEY = select(searches.c.id, searches.c.submitted).where(searches.c.submit_key == bindparam("key"))


def submitted_under(connection: Connection, key: str) -> tuple[str, Any] | None:
    """Find the id of the search that was submitted under a key, and its spec as it was written; None if none was."""
    row = connection.execute(_BY_KEY, {"key": key}).one_or_none()
    return None if row is None else (row.id, row.submitted)


# Statements that run all the time are built once: building one takes SQLAlchemy longer than SQLite takes to run it.
_ONE = select(*_COLUMNS).where(searches.c.id == bindparam("id"))
_GET = Prepared(_ONE, ("id",))
_LOCK = Prepared(_ONE.with_for_update(key_share=True), ("id",))


def get(connection: Connection, search_id: str) -> SearchRow:
    """Find one search.

    Raises:
        NotFound: no search has that id.
    """
    return _one(connection, search_id, _GET)


def lock(connection: Connection, search_id: str) -> SearchRow:
    """Find one search, and lock it until the end of the transaction against others that lock it.

    Every transaction that writes trials or leases of a search begins with this, so that masters which
    share a database take turns, and always lock in the same order.

    Raises:
        NotFound: no search has that id.
    """
    return _one(connection, search_id, _LOCK)


_UNLOCKED = select(searches.c.id).where(searches.c.id == bindparam("id"))
_FREE = Prepared(_UNLOCKED.with_for_update(key_share=True, skip_locked=True), ("id",))


def is_free(connection: Connection, search_id: str) -> bool:
    """Tell whether nobody has locked a search, and lock it if so."""
    return _FREE.first(connection, {"id": search_id}) is not None


def _one(connection: Connection, search_id: str, statement: Prepared) -> SearchRow:
    row = statement.first(connection, {"id": search_id})
    if row is None:
        raise NotFound(f"There is no search {search_id}; `foldstep searches` lists those that there are.")
    return _row(row)


_LABELS = select(searches.c.id, searches.c.name, searches.c.created_at).order_by(
    searches.c.created_at.desc(), searches.c.id
)


def labelled(connection: Connection, word: str) -> list[SearchLabel]:
    """List the searches with a name, or with an id that begins with it, the newest first."""
    if not word:
        return []
    begins = func.substr(searches.c.id, 1, len(word)) == word  # LIKE would not tell capitals on SQLite
    return [SearchLabel(*row) for row in connection.execute(_LABELS.where((searches.c.name == word) | begins))]


def newest_labels(connection: Connection, limit: int = 1000) -> list[SearchLabel]:
    """List the names and ids of the last searches, the newest first."""
    return [SearchLabel(*row) for row in connection.execute(_LABELS.limit(limit))]


def newest(connection: Connection, limit: int, after: tuple[datetime, str] | None = None) -> list[SearchRow]:
    """List `limit` searches after the key (time of creation, id), the newest first."""
    statement = select(*_COLUMNS).order_by(searches.c.created_at.desc(), searches.c.id).limit(limit)
    if after is not None:
        at, search_id = after
        is_same_time = (searches.c.created_at == at) & (searches.c.id > search_id)
        statement = statement.where((searches.c.created_at < at) | is_same_time)
    return [_row(row) for row in connection.execute(statement)]


def find(connection: Connection, search_id: str) -> SearchRow | None:
    """Find one search; None where it was deleted."""
    row = _GET.first(connection, {"id": search_id})
    return None if row is None else _row(row)


def follower_ids(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """List the searches that follow some, by their purpose."""
    found: dict[str, dict[str, str]] = {search_id: {} for search_id in ids}
    columns = (searches.c.follows, searches.c.purpose, searches.c.id)
    for follows, purpose, search_id in connection.execute(select(*columns).where(searches.c.follows.in_(ids))):
        found[follows][purpose] = search_id
    return found


def followers(connection: Connection, search_id: str) -> list[SearchRow]:
    """List the searches that follow one, the oldest first."""
    statement = select(*_COLUMNS).where(searches.c.follows == search_id)
    return [_row(row) for row in connection.execute(statement.order_by(searches.c.created_at, searches.c.id))]


def submitted(connection: Connection, search_id: str) -> Any:
    """Read the spec as the user wrote it."""
    return connection.execute(select(searches.c.submitted).where(searches.c.id == search_id)).scalar_one()


def by_state(connection: Connection) -> dict[SearchState, int]:
    """Count searches by state."""
    found = connection.execute(select(searches.c.state, func.count()).group_by(searches.c.state))
    return dict(found.all())


_N_RUNNING = (
    select(func.coalesce(func.sum(counts.c.n), 0))
    .where(counts.c.search_id == searches.c.id, counts.c.state == TrialState.RUNNING)
    .scalar_subquery()
)
_TO_SERVE = Prepared(
    select(searches.c.id)
    .where((searches.c.state == SearchState.QUEUED) | (searches.c.state == SearchState.RUNNING))
    .order_by(_N_RUNNING, searches.c.created_at, searches.c.id)
)


def ids_to_serve(connection: Connection) -> Sequence[str]:
    """List searches that may have work, in the order to serve them: fewest running trials first, then the oldest."""
    return [search_id for (search_id,) in _TO_SERVE.rows(connection, {})]


_PAST_DEADLINE = select(searches.c.id).where(
    searches.c.state == SearchState.RUNNING, searches.c.deadline_at <= bindparam("now")
)


def ids_past_deadline(connection: Connection, now: datetime) -> Sequence[str]:
    """List running searches whose time is used up."""
    return connection.execute(_PAST_DEADLINE, {"now": now}).scalars().all()


def all_ids(connection: Connection) -> Sequence[str]:
    """List the id of every search."""
    return connection.execute(select(searches.c.id)).scalars().all()


def move(connection: Connection, search_id: str, event: SearchEvent, **values: Any) -> None:
    """Apply an event of the transition table to a search, and set further columns; `paused_at` is cleared unless given.

    Raises:
        IllegalTransition: the search is in a state that `event` does not leave.
        NotFound: no search has that id.
    """
    statement = search_move(event).where(searches.c.id == search_id).values(**{"paused_at": None, **values})
    if not n_moved(connection, statement):
        state = get(connection, search_id).state
        raise IllegalTransition(f"The search {search_id} is {state}; {event} is not possible now.")


def set_budget(connection: Connection, search_id: str, spec: Spec, deadline_at: datetime | None) -> None:
    """Store a larger budget of a locked search."""
    values = {"spec": spec.model_dump_json(), "deadline_at": deadline_at}
    connection.execute(update(searches).where(searches.c.id == search_id).values(values))


def set_spec(connection: Connection, search_id: str, spec: Spec, submitted: Any) -> None:
    """Store the spec of a locked search that was begun before its trials were known, and the same as it is written."""
    values = {"spec": spec.model_dump_json(), "submitted": submitted}
    connection.execute(update(searches).where(searches.c.id == search_id).values(values))


def extended(connection: Connection, search_id: str) -> dict[str, Any]:
    """Read the last extension of a search that came with a key; empty where none did."""
    statement = select(searches.c.extended).where(searches.c.id == search_id)
    return connection.execute(statement).scalar_one() or {}


def set_extended(connection: Connection, search_id: str, extension: dict[str, Any]) -> None:
    """Store the last extension of a locked search that came with a key."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(extended=extension))


def add_notes(connection: Connection, row: SearchRow, notes: Sequence[str]) -> None:
    """Append notes for the user to a locked search, except those that it has already."""
    kept = get(connection, row.id).notes
    new = [n for n in notes if n not in kept]
    if new:
        connection.execute(update(searches).where(searches.c.id == row.id).values(notes=[*kept, *new]))


def set_checks(connection: Connection, search_id: str, report: CheckReport) -> None:
    """Store what the checks of a locked search found."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(checks=_as_json(report)))


def _as_json(report: CheckReport | None) -> Any:
    return None if report is None else report.model_dump(mode="json")


def set_stage(connection: Connection, search_id: str, stage: int) -> None:
    """Store the present stage of a search."""
    connection.execute(update(searches).where(searches.c.id == search_id).values(stage=stage))


def remove(connection: Connection, search_id: str) -> None:
    """Delete a search and all that belongs to it."""
    for table in (folds, trials, leases, stages, counts, finals):
        connection.execute(delete(table).where(table.c.search_id == search_id))
    connection.execute(delete(searches).where(searches.c.id == search_id))
