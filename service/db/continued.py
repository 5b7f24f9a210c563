"""Trials that continue the training of others: the epochs of those before, and the snapshots to resume from."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, or_, select, tuple_, update

from foldstep.service.contract.states import TERMINAL_TRIAL
from foldstep.service.db.tables import trials


def saved_snapshots(
    connection: Connection, search_id: str, numbers: Collection[int]
) -> dict[int | None, dict[str, object]]:
    """Find the snapshots that some trials left, by trial, as the columns of a trial that resumes from one.

    Trials without a snapshot are absent.
    """
    if not numbers:
        return {}
    own = (trials.c.search_id == search_id, trials.c.number.in_(numbers), trials.c.resume.is_not(None))
    statement = select(trials.c.number, trials.c.resume, trials.c.epoch).where(*own)
    return {number: {"resume": name, "epoch": epoch} for number, name, epoch in connection.execute(statement)}


def legs(connection: Connection, search_id: str, continues: Mapping[int, int]) -> dict[int, list[int]]:
    """List, for each of some trials, the epochs of the trials that it continues, the earliest first.

    Args:
        connection: to the database.
        search_id: their search.
        continues: number of a trial to that of the one that it continues.
    """
    found: dict[int, list[int]] = {number: [] for number in continues}
    last = dict(continues)
    columns = (trials.c.number, trials.c.epochs, trials.c.continues)
    while last:
        statement = select(*columns).where(trials.c.search_id == search_id, trials.c.number.in_(set(last.values())))
        before = {number: (epochs, earlier) for number, epochs, earlier in connection.execute(statement)}
        for number, continued in last.items():
            found[number].insert(0, before[continued][0])
        last = {number: before[continued][1] for number, continued in last.items() if before[continued][1] is not None}
    return found


def resumes(connection: Connection, search_id: str) -> dict[int, str]:
    """Find the snapshots of a search, by trial: to resume it from, or to be continued by another one."""
    columns = (trials.c.number, trials.c.resume)
    statement = select(*columns).where(trials.c.search_id == search_id, trials.c.resume.is_not(None))
    return dict(connection.execute(statement).all())


def forget_snapshots(connection: Connection, search_id: str) -> None:
    """Remove the snapshot of every trial of a search from the database, so that none resumes from it."""
    statement = update(trials).where(trials.c.search_id == search_id, trials.c.resume.is_not(None))
    connection.execute(statement.values(resume=None))


def take_snapshots_below(connection: Connection, search_id: str, stage: int, rank_key: float, number: int) -> list[str]:
    """Forget the snapshots of a stage's ended trials that rank after a place, and return their file names."""
    is_below = or_(trials.c.rank_key.is_(None), tuple_(trials.c.rank_key, trials.c.number) > tuple_(rank_key, number))
    own = (trials.c.search_id == search_id, trials.c.stage == stage, trials.c.resume.is_not(None))
    where = (*own, trials.c.state.in_(sorted(TERMINAL_TRIAL)), is_below)
    found = dict(connection.execute(select(trials.c.number, trials.c.resume).where(*where)).all())
    if found:
        this = (trials.c.search_id == search_id, trials.c.number.in_(found))
        connection.execute(update(trials).where(*this).values(resume=None))
    return sorted(found.values())
