"""The rows of `trials`: every write is set-based or one batch, whatever the number of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, insert, or_, select, tuple_, union_all, update

from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.errors import IllegalTransition
from foldstep.service.contract.report import TrialProgress
from foldstep.service.contract.space import Params
from foldstep.service.contract.states import TrialEvent, TrialState
from foldstep.service.contract.trial import PlannedTrial, TrialRecord
from foldstep.service.db.continued import saved_snapshots
from foldstep.service.db.moves import trial_move
from foldstep.service.db.prepared import Prepared
from foldstep.service.db.tables import IS_KEPT, IS_WAITING, trials

OPEN = (TrialState.WAITING, TrialState.RUNNING, TrialState.PAUSED)
RungScores: TypeAlias = list[list[float | None]]
"""For each rung that a trial has reached, the scores of its folds; None for one that is not finite."""


@dataclass(frozen=True)
class ClaimedTrial:
    """A trial that a lease took."""

    number: int
    params: Params
    attempts: int
    resume: str | None
    epochs: int
    rungs: RungScores | None
    continues: int | None


@dataclass(frozen=True)
class FinishedTrial:
    """The end of a trial: its new state, and what is stored with it.

    Attributes:
        resume: name of the snapshot from which a trial of the next stage may continue it; None if none may.
    """

    number: int
    event: TrialEvent
    score: float | None
    rank_key: float | None
    spread: float | None
    epoch: int
    duration_s: float
    message: str | None
    kept: bool
    rungs: RungScores | None = None
    resume: str | None = None


class Place(NamedTuple):
    """A trial at a place of the leaderboard: the key that it is ranked by, its number, its score."""

    rank_key: float
    number: int
    score: float


def add(connection: Connection, search_id: str, planned: Sequence[PlannedTrial], now: datetime) -> None:
    """Insert waiting trials; a trial that continues another one resumes from its snapshot, if there is one."""
    if not planned:
        return
    same = {"search_id": search_id, "state": TrialState.WAITING, "created_at": now}
    same |= {"attempts": 0, "kept": False}
    rows = [{**same, **row} for row in planned_rows(connection, search_id, planned)]
    if connection.dialect.name == "sqlite":
        _ADD.change_all(connection, rows)
    else:
        connection.execute(_ADD_AT_ONCE, rows)


_NEW = {"resume": None, "epoch": 0}
PLANNED = ("number", "stage", "params", "pack_key", "epochs", "continues", *_NEW)
"""Columns that a planner decides."""
_ADD_AT_ONCE = insert(trials).returning(trials.c.number)
"""One statement for many rows, as SQLAlchemy makes it of one that returns something: they are counted once."""
_ADD = Prepared(insert(trials), columns=("search_id", "state", "created_at", "attempts", "kept", *PLANNED))


def planned_rows(connection: Connection, search_id: str, planned: Sequence[PlannedTrial]) -> list[dict[str, object]]:
    """Write the columns `PLANNED` of trials."""
    saved = saved_snapshots(connection, search_id, [p.continues for p in planned if p.continues is not None])
    return [{**_planned(p), **saved.get(p.continues, _NEW)} for p in planned]


def _planned(trial: PlannedTrial) -> dict[str, object]:
    hp = resolve(trial.params)
    return {
        "number": trial.number,
        "stage": trial.stage,
        "params": trial.params,
        "pack_key": hp.batch_size,
        "epochs": hp.epochs,
        "continues": trial.continues,
    }


def next_number(connection: Connection, search_id: str) -> int:
    """Find the number that the next planned trial gets."""
    last = connection.execute(select(func.max(trials.c.number)).where(trials.c.search_id == search_id)).scalar_one()
    return 0 if last is None else int(last) + 1


_IS_OPEN = or_(*(trials.c.state == state for state in OPEN))
_ANY_OPEN = Prepared(select(trials.c.number).where(trials.c.search_id == bindparam("id"), _IS_OPEN).limit(1), ("id",))


def any_open(connection: Connection, search_id: str) -> bool:
    """Tell whether a trial of a search is waiting, running, or paused at a rung."""
    return _ANY_OPEN.first(connection, {"id": search_id}) is not None


_WAITING = (trials.c.search_id == bindparam("b_search"), IS_WAITING)
_FIRST = Prepared(
    select(trials.c.pack_key, trials.c.lease_cap).where(*_WAITING).order_by(trials.c.number).limit(1), ("b_search",)
)


def _claim(*conditions: ColumnElement[bool]) -> Prepared:
    """Build the statement that takes the first waiting trials which fulfil some conditions."""
    following = (
        select(trials.c.number)
        .where(*_WAITING, *conditions)
        .order_by(trials.c.number)
        .limit(bindparam("b_limit"))
        .with_for_update(skip_locked=True)
        .cte("next")  # so that it is evaluated once: Postgres may repeat a subquery, each time with other rows
    )
    claim = (
        trial_move(TrialEvent.LEASE)
        .where(trials.c.search_id == bindparam("b_search"), trials.c.number.in_(select(following.c.number)))
        .values(lease_id=bindparam("b_lease"), worker_id=bindparam("b_worker"), attempts=trials.c.attempts + 1)
        .values(lost_lease_id=None)
        .returning(*(trials.c[name] for name in ClaimedTrial.__dataclass_fields__))
    )
    return Prepared(claim, [f"b_{name}" for name in ("search", "lease", "worker", "pack_key", "cap", "limit")])


_SAME_PACK, _OTHER_PACK = trials.c.pack_key == bindparam("b_pack_key"), trials.c.pack_key != bindparam("b_pack_key")
_PACKS = (_SAME_PACK, _OTHER_PACK)
_CLAIM = [_claim(pack, trials.c.lease_cap.is_(None)) for pack in _PACKS]
_CLAIM_SUSPECTS = [_claim(pack, trials.c.lease_cap == bindparam("b_cap")) for pack in _PACKS]


def claim(connection: Connection, search_id: str, limit: int, lease_id: int, worker_id: int) -> list[ClaimedTrial]:
    """Assign up to `limit` waiting trials to a lease, and return them by number.

    Trials that can share a pack with the first waiting one are taken first, then the others by number. After the death
    of a worker its trials share a lease only with their like, and at most `lease_cap` of them.
    """
    first = _FIRST.first(connection, {"b_search": search_id})
    if first is None:
        return []
    pack_key, cap = first
    limit = min(limit, cap or limit)
    values = {"b_search": search_id, "b_lease": lease_id, "b_worker": worker_id, "b_pack_key": pack_key, "b_cap": cap}
    claimed: list[ClaimedTrial] = []
    for statement in _CLAIM if cap is None else _CLAIM_SUSPECTS:
        if len(claimed) < limit:
            rows = statement.rows(connection, {**values, "b_limit": limit - len(claimed)})
            claimed += [ClaimedTrial(*row) for row in rows]
    return sorted(claimed, key=lambda t: t.number)


_RUNNING_UNDER = (trials.c.lease_id == bindparam("lease"), trials.c.state == TrialState.RUNNING)
_CLAIMED = select(*(trials.c[name] for name in ClaimedTrial.__dataclass_fields__)).where(*_RUNNING_UNDER)


def claimed(connection: Connection, lease_id: int) -> list[ClaimedTrial]:
    """List the running trials of a lease, by number."""
    rows = connection.execute(_CLAIMED.order_by(trials.c.number), {"lease": lease_id})
    return [ClaimedTrial(**row._asdict()) for row in rows]


def numbers_in(connection: Connection, search_id: str, *states: TrialState) -> set[int]:
    """Find the numbers of the trials of a search that are in one of the states."""
    statement = select(trials.c.number).where(trials.c.search_id == search_id, trials.c.state.in_(states))
    return set(connection.execute(statement).scalars())


_UNDER = Prepared(
    select(trials.c.number, trials.c.state)
    .where(trials.c.lease_id == bindparam("lease"))
    .order_by(trials.c.number)
    .with_for_update(key_share=True),
    ("lease",),
)


def under(connection: Connection, lease_id: int) -> dict[int, TrialState]:
    """Find the trials that a lease took and has not given back: number to state; nobody changes them meanwhile."""
    return dict(_UNDER.rows(connection, {"lease": lease_id}))


_PROGRESS = Prepared(
    update(trials)
    .where(
        trials.c.search_id == bindparam("b_search"),
        trials.c.number == bindparam("b_number"),
        trials.c.lease_id == bindparam("b_lease"),
        trials.c.state == TrialState.RUNNING,
    )
    .values(epoch=bindparam("b_epoch"), progress=bindparam("b_progress")),
    [f"b_{name}" for name in ("search", "number", "lease", "epoch", "progress")],
)


def record_progress(connection: Connection, search_id: str, lease_id: int, progress: Sequence[TrialProgress]) -> None:
    """Store how far running trials of a lease are."""
    if progress:
        same = {"b_search": search_id, "b_lease": lease_id}
        rows = [{**same, "b_number": p.trial, "b_epoch": p.epoch, "b_progress": p.score} for p in progress]
        _PROGRESS.change_all(connection, rows)


TIME_SO_FAR = func.coalesce(trials.c.duration_s, 0.0) + bindparam("b_duration_s")
_RESULT = ("score", "rank_key", "spread", "epoch", "message", "kept", "finished_at", "rungs", "resume")


def _end(event: TrialEvent) -> Prepared:
    """Build the statement that ends running trials of a lease with an event."""
    statement = (
        trial_move(event)
        .where(trials.c.search_id == bindparam("b_search"), trials.c.number == bindparam("b_number"))
        .where(trials.c.lease_id == bindparam("b_lease"))
        .values({name: bindparam(f"b_{name}") for name in _RESULT})
        .values(progress=None, duration_s=TIME_SO_FAR, lease_cap=None)
    )
    return Prepared(statement, [f"b_{name}" for name in ("search", "number", "lease", "duration_s", *_RESULT)])


_ENDS = (TrialEvent.COMPLETE, TrialEvent.DIVERGE, TrialEvent.FAIL, TrialEvent.PRUNE, TrialEvent.UNDEFINE)
_END = {event: _end(event) for event in _ENDS}


def finish(
    connection: Connection, search_id: str, lease_id: int, ended: Sequence[FinishedTrial], now: datetime
) -> None:
    """End running trials of a lease.

    Raises:
        IllegalTransition: one of them is not running under that lease.
    """
    for event, statement in _END.items():
        rows = [_end_row(search_id, lease_id, trial, now) for trial in ended if trial.event is event]
        if rows and statement.change_all(connection, rows) != len(rows):
            raise IllegalTransition(f"A trial of the search {search_id} is not running under the lease {lease_id}.")


def _end_row(search_id: str, lease_id: int, trial: FinishedTrial, now: datetime) -> dict[str, object]:
    row: dict[str, object] = {f"b_{k}": v for k, v in vars(trial).items() if k != "event"}
    return {**row, "b_search": search_id, "b_lease": lease_id, "b_finished_at": now}


_UNSUSPECTED = {"lease_cap": None, "blame": 0, "blamed_at_epoch": 0, "lost_lease_id": None}
AGAIN = {
    **dict.fromkeys(("lease_id", "worker_id", "finished_at", "message", "progress")),
    "attempts": 0,
    **_UNSUSPECTED,
}
"""Columns that are reset when an ended trial returns to waiting; its attempts are counted anew."""


def reopen(connection: Connection, search_id: str) -> None:
    """Return the trials that were cancelled at the end of a search to waiting; they start over."""
    statement = trial_move(TrialEvent.REOPEN).where(trials.c.search_id == search_id)
    connection.execute(statement.values({**AGAIN, "epoch": 0}))


_BACK = (
    trial_move(TrialEvent.RETURN)
    .where(trials.c.lease_id == bindparam("b_lease"))
    .values(lease_id=None, worker_id=None, attempts=trials.c.attempts - 1, progress=None)
)

_BACK_ANEW = Prepared(_BACK, ("b_lease",))


def give_back(connection: Connection, lease_id: int, snapshots: Mapping[int, str]) -> None:
    """Return the running trials of a lease to waiting, the attempt not counted, with their snapshots."""
    if snapshots:
        chosen = case(snapshots, value=trials.c.number, else_=trials.c.resume)
        connection.execute(_BACK.values(resume=chosen), {"b_lease": lease_id})
    else:
        _BACK_ANEW.change(connection, {"b_lease": lease_id})


def record_snapshots(connection: Connection, lease_id: int, snapshots: Mapping[int, str]) -> None:
    """Store the snapshots from which the running trials of a lease can resume, should its worker die."""
    if snapshots:
        chosen = case(snapshots, value=trials.c.number, else_=trials.c.resume)
        is_running = (trials.c.lease_id == lease_id, trials.c.state == TrialState.RUNNING)
        connection.execute(update(trials).where(*is_running).values(resume=chosen))


def cancel(connection: Connection, search_id: str, now: datetime) -> None:
    """End every open trial of a search without a result."""
    values = {"finished_at": now, "progress": None, "resume": None}
    connection.execute(trial_move(TrialEvent.CANCEL).where(trials.c.search_id == search_id).values(values))


def history(connection: Connection, search_id: str, stage: int | None = None, *, every: int = 1) -> list[TrialRecord]:
    """List the trials of a search, or of one of its stages, for a planner; only each `every`-th number for more."""
    columns = (trials.c.number, trials.c.stage, trials.c.state, trials.c.params, trials.c.score, trials.c.spread)
    statement = select(*columns).where(trials.c.search_id == search_id).order_by(trials.c.number)
    if stage is not None:
        statement = statement.where(trials.c.stage == stage)
    if every > 1:
        statement = statement.where(trials.c.number % every == 0)
    return [TrialRecord(**row._asdict()) for row in connection.execute(statement)]


_PLACES = (
    select(trials.c.rank_key, trials.c.number, trials.c.score)
    .where(trials.c.search_id == bindparam("id"), trials.c.rank_key.is_not(None))
    .order_by(trials.c.rank_key, trials.c.number)
    .offset(bindparam("skip"))
    .limit(1)
)
_PLACE = Prepared(_PLACES, ("id", "skip"))
_PLACE_IN_STAGE = Prepared(_PLACES.where(trials.c.stage == bindparam("stage")), ("id", "skip", "stage"))


def nth_best(connection: Connection, search_id: str, n: int, stage: int | None = None) -> Place | None:
    """Find the trial at place `n` (from 1) of a search, or of one of its stages; None if fewer are ranked."""
    statement = _PLACE if stage is None else _PLACE_IN_STAGE
    row = statement.first(connection, {"id": search_id, "skip": n - 1, **({} if stage is None else {"stage": stage})})
    return None if row is None else Place(*row)


_KEPT = select(trials.c.number).where(trials.c.search_id == bindparam("id"), IS_KEPT)
_KEPT_BELOW = Prepared(
    union_all(
        _KEPT.where(trials.c.rank_key.is_(None)),
        _KEPT.where(tuple_(trials.c.rank_key, trials.c.number) > tuple_(bindparam("key"), bindparam("number"))),
    ),
    ("id", "key", "number"),
)


def kept_below(connection: Connection, search_id: str, place: Place | None) -> Sequence[int]:
    """List the numbers of the trials with checkpoints on disk that rank after `place`; all of them if it is None."""
    if place is None:
        return connection.execute(_KEPT, {"id": search_id}).scalars().all()
    values = {"id": search_id, "key": place.rank_key, "number": place.number}
    return [number for (number,) in _KEPT_BELOW.rows(connection, values)]


def unkeep(connection: Connection, search_id: str, numbers: Sequence[int]) -> None:
    """Record that some trials no longer have checkpoints on disk."""
    statement = update(trials).where(trials.c.search_id == search_id, trials.c.number.in_(numbers))
    connection.execute(statement.values(kept=False))


def best(connection: Connection, search_id: str, limit: int) -> Sequence[Params]:
    """List the hyperparameters of the best trials, the best first."""
    statement = select(trials.c.params).where(trials.c.search_id == search_id, trials.c.rank_key.is_not(None))
    return connection.execute(statement.order_by(trials.c.rank_key, trials.c.number).limit(limit)).scalars().all()


def longest_diverged(connection: Connection, search_id: str) -> tuple[int, Params]:
    """Find the diverged trial that trained for the most epochs; there must be a diverged one."""
    statement = (
        select(trials.c.number, trials.c.params)
        .where(trials.c.search_id == search_id, trials.c.state == TrialState.DIVERGED)
        .order_by(trials.c.epoch.desc(), trials.c.number)
        .limit(1)
    )
    number, params = connection.execute(statement).one()
    return number, params


def last_message(connection: Connection, search_id: str, state: TrialState) -> str:
    """Read the message of the trial that ended last in a state; `nothing` if there is none."""
    statement = (
        select(trials.c.message)
        .where(trials.c.search_id == search_id, trials.c.state == state)
        .order_by(trials.c.finished_at.desc(), trials.c.number.desc())
        .limit(1)
    )
    return connection.execute(statement).scalar_one_or_none() or "nothing"
