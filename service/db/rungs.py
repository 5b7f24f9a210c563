"""Trials at their rungs: their scores there, and the changes of their state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from foldstep.service.contract.errors import IllegalTransition
from foldstep.service.contract.states import TrialEvent, TrialState
from foldstep.service.db.moves import n_moved, trial_move
from foldstep.service.db.tables import trials
from foldstep.service.db.trials import AGAIN, TIME_SO_FAR, RungScores


@dataclass(frozen=True)
class PausedTrial:
    """A trial that has reached a rung.

    Attributes:
        progress: mean score of its folds so far; None if one has no score.
        resume: name of the snapshot to resume from; None if there is none, and the trial would begin again.
    """

    number: int
    epoch: int
    progress: float | None
    duration_s: float
    resume: str | None
    rungs: RungScores


@dataclass(frozen=True)
class PrunedTrial:
    """A trial that was stopped early and keeps its scores so far."""

    number: int
    score: float | None
    rank_key: float | None
    spread: float | None
    message: str


@dataclass(frozen=True)
class RungRow:
    """The state of a trial, and its scores at the rungs that it has reached."""

    number: int
    state: TrialState
    epochs: int
    rungs: RungScores | None


_PAUSE = (
    trial_move(TrialEvent.PAUSE)
    .where(trials.c.search_id == bindparam("b_search"), trials.c.number == bindparam("b_number"))
    .where(trials.c.lease_id == bindparam("b_lease"))
    .values({name: bindparam(f"b_{name}") for name in ("epoch", "progress", "resume", "rungs")})
    .values(duration_s=TIME_SO_FAR)
)


def pause(connection: Connection, search_id: str, lease_id: int, paused: Sequence[PausedTrial]) -> None:
    """Pause running trials of a lease at their rungs.

    Raises:
        IllegalTransition: one of them is not running under that lease.
    """
    rows = [{"b_search": search_id, "b_lease": lease_id, **_bound(trial)} for trial in paused]
    if rows and n_moved(connection, _PAUSE, rows) != len(rows):
        raise IllegalTransition(f"A trial of the search {search_id} is not running under the lease {lease_id}.")


def _bound(record: PausedTrial | PrunedTrial) -> dict[str, object]:
    return {f"b_{name}": value for name, value in vars(record).items()}


_PRUNE = (
    trial_move(TrialEvent.PRUNE)
    .where(trials.c.search_id == bindparam("b_search"), trials.c.number == bindparam("b_number"))
    .values({name: bindparam(f"b_{name}") for name in ("score", "rank_key", "spread", "message", "finished_at")})
    .values(progress=None)
)


def prune(connection: Connection, search_id: str, pruned: Sequence[PrunedTrial], now: datetime) -> None:
    """End trials at their rungs, with their scores so far; their snapshots stay, since they may be promoted later."""
    rows = [{"b_search": search_id, "b_finished_at": now, **_bound(trial)} for trial in pruned]
    if rows:
        connection.execute(_PRUNE, rows)


def promote(connection: Connection, search_id: str, numbers: Collection[int]) -> None:
    """Return paused or pruned trials to waiting, to train beyond their rungs; attempts are counted anew."""
    if numbers:
        statement = trial_move(TrialEvent.PROMOTE).where(trials.c.search_id == search_id, trials.c.number.in_(numbers))
        connection.execute(statement.values(score=None, rank_key=None, spread=None, **AGAIN))


_ON_RUNGS = (
    select(trials.c.number, trials.c.state, trials.c.epochs, trials.c.rungs)
    .where(trials.c.search_id == bindparam("id"), trials.c.stage == bindparam("stage"))
    .order_by(trials.c.number)
)


def on_rungs(connection: Connection, search_id: str, stage: int) -> list[RungRow]:
    """List all trials of a stage with their scores at the rungs, by number."""
    return [RungRow(*row) for row in connection.execute(_ON_RUNGS, {"id": search_id, "stage": stage})]
