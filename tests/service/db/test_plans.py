"""No statement of lease, report, complete or leaderboard walks a table: it costs as much at 100,000 trials as at none.

Every statement of a worker's calls and of the leaderboard is looked at while it runs, on the database itself. SQLite
counts the steps of its virtual machine. Postgres runs the statement once more under EXPLAIN ANALYZE and takes it back;
the plan tells how many rows were read and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from benchmarks.stored import store
from foldstep.service.contract.report import TrialProgress
from foldstep.service.flow import rank, view
from foldstep.service.flow.context import Context
from tests.service.scenes import Hand, new_search, result

N = 100_000
LIMIT = 100
STEPS, STEPS_A_ROW = 3_000, 400
"""Steps that SQLite may take for any statement, and for each row that it returns or changes; a walk takes millions."""
THROWN_AWAY = 300
"""Rows that Postgres may read in vain: it sorts the waiting trials, of which `plan_ahead` (256) are planned at most."""


@pytest.fixture
def search(context: Context) -> str:
    """A search with many trials that have ended."""
    found = new_search(context, budget={"trials": 2 * N}, checkpoints={"keep": 3})
    url = context.database.engine.url.render_as_string(hide_password=False)
    store(url.replace("+psycopg", ""), found, N, 2)
    return found


def all_calls(context: Context, search: str) -> None:
    """Make every call that is to cost the same at any size."""
    hand = Hand(context)
    for _ in range(2):
        held = hand.take(8)
        hand.report(held, progress=[TrialProgress(trial=t.number, epoch=1, score=0.5) for t in held.trials], steps=5)
        hand.report(held, *(result(t.number, (0.4, 2.0 + t.number), checkpoints=True) for t in held.trials))
        hand.release(held)
    hand.take(2)
    page = rank.leaderboard(context, search, limit=LIMIT)
    rank.leaderboard(context, search, limit=LIMIT, cursor=page.cursor)
    view.search(context, search)
    view.all_searches(context)


def test_no_statement_walks_a_table(context: Context, search: str) -> None:
    watched = sqlite_watched if context.database.is_sqlite else postgres_watched
    with watched(context) as guilty:
        all_calls(context, search)
    assert guilty == []


@contextmanager
def sqlite_watched(context: Context) -> Iterator[list[str]]:
    guilty: list[str] = []
    steps, grain = [0], 100

    def count() -> int:
        steps[0] += grain
        return 0

    def before(connection: Any, *_: Any) -> None:
        steps[0] = 0
        connection.connection.driver_connection.set_progress_handler(count, grain)

    def after(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        n_rows = len(parameters) if isinstance(parameters, list) else max(cursor.rowcount, LIMIT // 10)
        if steps[0] > STEPS + STEPS_A_ROW * n_rows:
            guilty.append(f"{steps[0]} steps: {statement} {parameters}")

    with listening(context, before_cursor_execute=before, after_cursor_execute=after):
        yield guilty


@contextmanager
def postgres_watched(context: Context) -> Iterator[list[str]]:
    guilty: list[str] = []

    def before(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        raw = cursor.connection
        with raw.cursor() as other:
            one = parameters[0] if isinstance(parameters, list) else parameters
            other.execute("SAVEPOINT looked_at")
            other.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", one)
            plan = other.fetchone()[0][0]["Plan"]
            other.execute("ROLLBACK TO SAVEPOINT looked_at")
        wasted = max((n for n in thrown_away(plan)), default=0)
        if wasted > THROWN_AWAY:
            guilty.append(f"{wasted} rows in vain: {statement} {one}")

    with listening(context, before_cursor_execute=before):
        yield guilty


def thrown_away(plan: dict[str, Any]) -> Iterator[int]:
    """The rows that each part of a plan read and did not use."""
    yield plan.get("Rows Removed by Filter", 0) * plan.get("Actual Loops", 1)
    if plan["Node Type"] in ("Aggregate", "Sort", "WindowAgg"):
        yield sum(part["Actual Rows"] for part in plan.get("Plans", [])) - plan["Actual Rows"]
    for part in plan.get("Plans", []):
        yield from thrown_away(part)


@contextmanager
def listening(context: Context, **listeners: Callable[..., None]) -> Iterator[None]:
    for name, listener in listeners.items():
        event.listen(context.database.engine, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            event.remove(context.database.engine, name, listener)
