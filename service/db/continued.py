"""Trials that go on with the training of others: through which legs, and from which snapshots."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, or_, select, tuple_, update

from foldstep.service.contract.states import TERMINAL_TRIAL
from foldstep.service.db.tables import trials


def saved_snapshots(connection: Connection, search_id: str, numbers: Collection[int]) -> dict[int | None, str]:
    """The names of the snapshots that some trials left, by trial; those that left none are absent."""
    if not numbers:
        return {}
    columns = (trials.c.number, trials.c.resume)
    statement = select(*columns).where(trials.c.search_id == search_id, trials.c.number.in_(numbers))
    return {number: name for number, name in connection.execute(statement) if name is not None}


def legs(connection: Connection, search_id: str, continues: Mapping[int, int]) -> dict[int, list[int]]:
    """The epochs of the trials before it, the first one's first, for each of some trials.

    Args:
        connection: to the database.
        search_id: their search.
        continues: trial to the one that it continues.
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
    """The names of the snapshots that trials go on from, or left to be continued, by trial."""
    columns = (trials.c.number, trials.c.resume)
    statement = select(*columns).where(trials.c.search_id == search_id, trials.c.resume.is_not(None))
    return dict(connection.execute(statement).all())


def forget_snapshots(connection: Connection, search_id: str) -> None:
    """Let nothing go on from snapshots any more."""
    statement = update(trials).where(trials.c.search_id == search_id, trials.c.resume.is_not(None))
    connection.execute(statement.values(resume=None))


def take_snapshots_below(connection: Connection, search_id: str, stage: int, rank_key: float, number: int) -> list[str]:
    """Forget the snapshots of a stage's trials that have ended and rank after a place; the names of their files."""
    is_below = or_(trials.c.rank_key.is_(None), tuple_(trials.c.rank_key, trials.c.number) > tuple_(rank_key, number))
    own = (trials.c.search_id == search_id, trials.c.stage == stage, trials.c.resume.is_not(None))
    where = (*own, trials.c.state.in_(sorted(TERMINAL_TRIAL)), is_below)
    found = dict(connection.execute(select(trials.c.number, trials.c.resume).where(*where)).all())
    if found:
        this = (trials.c.search_id == search_id, trials.c.number.in_(found))
        connection.execute(update(trials).where(*this).values(resume=None))
    return sorted(found.values())
