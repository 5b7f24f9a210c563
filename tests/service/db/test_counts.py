"""The counts that the database keeps are those of its rows, whatever was done to them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import delete, event, select, text

from foldstep.service.contract.states import TERMINAL_TRIAL
from foldstep.service.contract.submit import Extension
from foldstep.service.db import counts, searches
from foldstep.service.db.tables import counts as table
from foldstep.service.db.tables import trials
from foldstep.service.flow import control, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.extend import extend
from tests.service.scenes import Hand, new_search, result


def counted(context: Context, search: str) -> dict[Any, tuple[int, int, int]]:
    with context.database.read() as connection:
        return {row[1:3]: row[3:] for row in counts.by_stage(connection, [search])}


def by_rows(context: Context, search: str) -> dict[Any, tuple[int, int, int]]:
    """The same from the trials themselves."""
    with context.database.read() as connection:
        rows = connection.execute(select(trials).where(trials.c.search_id == search)).all()
    n = Counter((row.stage, row.state) for row in rows)
    ended = [row for row in rows if row.state in TERMINAL_TRIAL]
    return {
        key: (n[key], *(sum(getattr(r, c) for r in ended if (r.stage, r.state) == key) for c in ("epochs", "epoch")))
        for key in n
    }


def test_counts_are_those_of_the_rows(context: Context) -> None:
    search = new_search(context, budget={"trials": 9})
    other = new_search(context, name="other", budget={"trials": 3})
    hand = Hand(context)
    held = hand.take(8)
    assert counted(context, held.search) == by_rows(context, held.search)
    first, second, *_ = [t.number for t in held.trials]
    hand.report(held, result(first), result(second, (None, None), outcome="diverged"))
    hand.release(held)
    assert counted(context, held.search) == by_rows(context, held.search)
    control.stop(context, other)
    hand.work_all()
    extend(context, search, Extension(trials=2))
    hand.take(2)
    for each in (search, other):
        assert counted(context, each) == by_rows(context, each)


def test_what_transactions_counted_is_added_up(context: Context) -> None:
    search = new_search(context)
    Hand(context).work_all()
    before = counted(context, search)
    with context.database.write() as connection:
        counts.fold(connection)
        slots = set(connection.execute(select(table.c.slot)).scalars())
    assert slots == {0}
    assert counted(context, search) == before == by_rows(context, search)


def test_counts_are_made_anew_with_their_triggers(context: Context) -> None:
    search = new_search(context)
    Hand(context).work_all()
    right = counted(context, search)
    with context.database.write() as connection:
        counts.uninstall(connection)
        connection.execute(text("UPDATE counts SET n = 77"))
    assert counted(context, search) != right
    with context.database.write() as connection:
        counts.install(connection)
    assert counted(context, search) == right


def test_a_deleted_search_leaves_no_counts(context: Context) -> None:
    search = new_search(context)
    Hand(context).work_all()
    with context.database.write() as connection:
        connection.execute(delete(trials).where(trials.c.number == 0))
    assert counted(context, search) == by_rows(context, search)
    with context.database.write() as connection:
        searches.remove(connection, search)
        assert connection.execute(select(table)).all() == []


def test_a_view_reads_no_row_of_a_trial_that_has_ended(context: Context) -> None:
    search = new_search(context)
    Hand(context).work_all()
    seen: list[str] = []
    event.listen(context.database.engine, "before_cursor_execute", lambda *call: seen.append(call[2]))
    view.search(context, search)
    assert not [s for s in seen if "FROM trials" in s and "sum(" in s], "they are counted already"
