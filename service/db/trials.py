"""The rows of `trials`: every write is set-based or one batch, whatever the number of trials."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, case, func, insert, or_, select, tuple_, update

from models.hyperparameters import REGISTRY
from service.contract.errors import IllegalTransition
from service.contract.report import TrialProgress
from service.contract.space import Params
from service.contract.states import TrialEvent, TrialState
from service.contract.trial import PlannedTrial, TrialRecord
from service.db.moves import n_moved, trial_move
from service.db.tables import trials

OPEN = (TrialState.WAITING, TrialState.RUNNING)
STOPPED = (TrialState.CANCELLED, TrialState.PRUNED)


@dataclass(frozen=True)
class ClaimedTrial:
    """A trial that a lease took."""

    number: int
    params: Params
    attempts: int
    resume: str | None


@dataclass(frozen=True)
class FinishedTrial:
    """The end of a trial, as the master sees it."""

    number: int
    event: TrialEvent
    score: float | None
    rank_key: float | None
    spread: float | None
    epoch: int
    duration_s: float
    message: str | None
    kept: bool


def add(connection: Connection, search_id: str, planned: Sequence[PlannedTrial], now: datetime) -> None:
    """Insert waiting trials."""
    if not planned:
        return
    same = {"search_id": search_id, "state": TrialState.WAITING, "created_at": now}
    same |= {"epoch": 0, "attempts": 0, "kept": False}
    connection.execute(insert(trials), [{**same, **_planned(p)} for p in planned])


def _planned(trial: PlannedTrial) -> dict[str, object]:
    params = trial.params
    batch_size, epochs = (params.get(n, REGISTRY[n].default) for n in ("batch_size", "epochs"))
    return {
        "number": trial.number,
        "stage": trial.stage,
        "params": params,
        "pack_key": batch_size,
        "epochs": epochs,
    }


def next_number(connection: Connection, search_id: str) -> int:
    """The number that the next planned trial gets."""
    last = connection.execute(select(func.max(trials.c.number)).where(trials.c.search_id == search_id)).scalar_one()
    return 0 if last is None else int(last) + 1


def counts(connection: Connection, search_ids: Collection[str]) -> dict[str, dict[TrialState, int]]:
    """Trials by search and state; states without trials are absent."""
    statement = (
        select(trials.c.search_id, trials.c.state, func.count())
        .where(trials.c.search_id.in_(search_ids))
        .group_by(trials.c.search_id, trials.c.state)
    )
    found: dict[str, dict[TrialState, int]] = {s: {} for s in search_ids}
    for search_id, state, n in connection.execute(statement).tuples():
        found[search_id][state] = n
    return found


def all_counts(connection: Connection) -> dict[TrialState, int]:
    """The trials of all searches by state."""
    found = connection.execute(select(trials.c.state, func.count()).group_by(trials.c.state))
    return dict(found.tuples().all())


def n_in(connection: Connection, search_id: str, *states: TrialState) -> int:
    """How many trials of a search are in one of the states."""
    statement = select(func.count()).where(trials.c.search_id == search_id, trials.c.state.in_(states))
    return connection.execute(statement).scalar_one()


def any_in(connection: Connection, search_id: str, *states: TrialState) -> bool:
    """Whether a trial of a search is in one of the states."""
    found = select(trials.c.number).where(trials.c.search_id == search_id, trials.c.state.in_(states)).limit(1)
    return connection.execute(found).first() is not None


def claim(connection: Connection, search_id: str, limit: int, lease_id: int, worker_id: int) -> list[ClaimedTrial]:
    """Hand up to `limit` waiting trials to a lease.

    Those that can share packs with the longest waiting one go first, then the others in their order.
    """
    is_waiting = and_(trials.c.search_id == search_id, trials.c.state == TrialState.WAITING)
    first = select(trials.c.pack_key).where(is_waiting).order_by(trials.c.number).limit(1).scalar_subquery()
    numbers = (
        select(trials.c.number)
        .where(is_waiting)
        .order_by(case((trials.c.pack_key == first, 0), else_=1), trials.c.number)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        trial_move(TrialEvent.LEASE)
        .where(trials.c.search_id == search_id, trials.c.number.in_(numbers))
        .values(lease_id=lease_id, worker_id=worker_id, attempts=trials.c.attempts + 1)
        .returning(trials.c.number, trials.c.params, trials.c.attempts, trials.c.resume)
    )
    claimed = [ClaimedTrial(**row._asdict()) for row in connection.execute(statement)]
    return sorted(claimed, key=lambda t: t.number)


def numbers_in(connection: Connection, search_id: str, *states: TrialState) -> set[int]:
    """Numbers of the trials of a search in one of the states."""
    statement = select(trials.c.number).where(trials.c.search_id == search_id, trials.c.state.in_(states))
    return set(connection.execute(statement).scalars())


def running_under(connection: Connection, lease_id: int) -> set[int]:
    """Numbers of the trials that a lease has in training."""
    return _under(connection, lease_id, (TrialState.RUNNING,))


def stopped_under(connection: Connection, lease_id: int) -> set[int]:
    """Numbers of the trials of a lease that ended by a decision of the master."""
    return _under(connection, lease_id, STOPPED)


def _under(connection: Connection, lease_id: int, states: Sequence[TrialState]) -> set[int]:
    statement = select(trials.c.number).where(trials.c.lease_id == lease_id, trials.c.state.in_(states))
    return set(connection.execute(statement).scalars())


_PROGRESS = (
    update(trials)
    .where(
        trials.c.search_id == bindparam("b_search"),
        trials.c.number == bindparam("b_number"),
        trials.c.state == TrialState.RUNNING,
    )
    .values(epoch=bindparam("b_epoch"), progress=bindparam("b_progress"))
)


def record_progress(connection: Connection, search_id: str, progress: Sequence[TrialProgress]) -> None:
    """Store how far running trials are."""
    if progress:
        rows = [
            {"b_search": search_id, "b_number": p.trial, "b_epoch": p.epoch, "b_progress": p.score} for p in progress
        ]
        connection.execute(_PROGRESS, rows)


_END = {
    event: trial_move(event)
    .where(trials.c.search_id == bindparam("b_search"), trials.c.number == bindparam("b_number"))
    .where(trials.c.lease_id == bindparam("b_lease"))
    .values(
        {
            name: bindparam(f"b_{name}")
            for name in ("score", "rank_key", "spread", "epoch", "duration_s", "message", "kept", "finished_at")
        }
    )
    .values(progress=None, resume=None)
    for event in (TrialEvent.COMPLETE, TrialEvent.DIVERGE, TrialEvent.FAIL)
}


def finish(
    connection: Connection, search_id: str, lease_id: int, ended: Sequence[FinishedTrial], now: datetime
) -> None:
    """End running trials of a lease.

    Raises:
        IllegalTransition: one of them is not running under that lease.
    """
    for event, statement in _END.items():
        rows = [_end_row(search_id, lease_id, trial, now) for trial in ended if trial.event is event]
        if rows and n_moved(connection, statement, rows) != len(rows):
            raise IllegalTransition(f"A trial of the search {search_id} is not running under the lease {lease_id}.")


def _end_row(search_id: str, lease_id: int, trial: FinishedTrial, now: datetime) -> dict[str, object]:
    row: dict[str, object] = {f"b_{k}": v for k, v in vars(trial).items() if k != "event"}
    return {**row, "b_search": search_id, "b_lease": lease_id, "b_finished_at": now}


def give_back(connection: Connection, lease_id: int, states: Mapping[int, str]) -> None:
    """Return the running trials of a lease to waiting, the attempt not counted, with their saved states."""
    statement = trial_move(TrialEvent.RETURN).where(trials.c.lease_id == lease_id)
    values = {"lease_id": None, "worker_id": None, "attempts": trials.c.attempts - 1, "progress": None}
    if states:
        resume = case(states, value=trials.c.number, else_=trials.c.resume)
        connection.execute(statement.values({**values, "resume": resume}))
    else:
        connection.execute(statement.values(values))


def expire(connection: Connection, lease_ids: Sequence[int], max_attempts: int, now: datetime) -> None:
    """Return the running trials of expired leases to waiting; those that began `max_attempts` times fail."""
    of_leases = trials.c.lease_id.in_(lease_ids)
    message = f"given up after {max_attempts} attempts: each time its worker stopped reporting"
    connection.execute(
        trial_move(TrialEvent.GIVE_UP)
        .where(of_leases, trials.c.attempts >= max_attempts)
        .values(finished_at=now, progress=None, message=message)
    )
    back = {"lease_id": None, "worker_id": None, "progress": None}
    connection.execute(trial_move(TrialEvent.EXPIRE).where(of_leases).values(back))


def cancel(connection: Connection, search_id: str, now: datetime) -> None:
    """End every open trial of a search without a result."""
    values = {"finished_at": now, "progress": None, "resume": None}
    connection.execute(trial_move(TrialEvent.CANCEL).where(trials.c.search_id == search_id).values(values))


def history(connection: Connection, search_id: str, stage: int | None = None) -> list[TrialRecord]:
    """The trials of a search, or of one of its stages, for a planner."""
    columns = (trials.c.number, trials.c.stage, trials.c.state, trials.c.params, trials.c.score, trials.c.spread)
    statement = select(*columns).where(trials.c.search_id == search_id).order_by(trials.c.number)
    if stage is not None:
        statement = statement.where(trials.c.stage == stage)
    return [TrialRecord(**row._asdict()) for row in connection.execute(statement)]


def resumes(connection: Connection, search_id: str) -> set[str]:
    """Names of the saved states that open trials go on from."""
    statement = select(trials.c.resume).where(
        trials.c.search_id == search_id, trials.c.resume.is_not(None), trials.c.state.in_(OPEN)
    )
    return {name for name in connection.execute(statement).scalars() if name is not None}


def nth_best(connection: Connection, search_id: str, n: int) -> tuple[float, int, float] | None:
    """Rank key, number and score of the trial on place `n` (from 1); None where there are fewer."""
    statement = (
        select(trials.c.rank_key, trials.c.number, trials.c.score)
        .where(trials.c.search_id == search_id, trials.c.rank_key.is_not(None))
        .order_by(trials.c.rank_key, trials.c.number)
        .offset(n - 1)
        .limit(1)
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.rank_key, row.number, row.score)


def kept_below(connection: Connection, search_id: str, place: tuple[float, int] | None) -> Sequence[int]:
    """Numbers of the trials with checkpoints on disk that rank after `place`; all of them where it is None."""
    statement = select(trials.c.number).where(trials.c.search_id == search_id, trials.c.kept)
    if place is not None:
        after = tuple_(trials.c.rank_key, trials.c.number) > tuple_(*place)
        statement = statement.where(or_(trials.c.rank_key.is_(None), after))
    return connection.execute(statement).scalars().all()


def unkeep(connection: Connection, search_id: str, numbers: Sequence[int]) -> None:
    """Note that the checkpoints of some trials go."""
    statement = update(trials).where(trials.c.search_id == search_id, trials.c.number.in_(numbers))
    connection.execute(statement.values(kept=False))


def last_failure(connection: Connection, search_id: str) -> str:
    """What the last failed trial said."""
    statement = (
        select(trials.c.message)
        .where(trials.c.search_id == search_id, trials.c.state == TrialState.FAILED)
        .order_by(trials.c.finished_at.desc(), trials.c.number.desc())
        .limit(1)
    )
    return connection.execute(statement).scalar_one_or_none() or "nothing"
