"""What the database itself refuses, and how its types read back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError, StatementError

from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.states import LeaseState, SearchState, TrialState
from foldstep.service.db.tables import folds, leases, metadata, searches, stages, trials, workers
from foldstep.service.flow.context import Context
from tests.service.scenes import Hand, new_search

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("table", "values"),
    [
        (trials, {"state": TrialState.COMPLETED, "finished_at": NOW}),  # without a score
        (trials, {"state": TrialState.COMPLETED, "score": 0.5, "rank_key": -0.5}),  # without an end
        (trials, {"state": TrialState.WAITING}),  # while a lease has it
        (trials, {"lease_id": None}),  # running for nobody
        (trials, {"score": 0.5, "rank_key": 0.5}),  # a score before the end
        (trials, {"progress": 0.5, "state": TrialState.CANCELLED, "finished_at": NOW}),  # progress after the end
        (trials, {"attempts": -1}),
        (trials, {"lease_id": 999}),
        (searches, {"state": SearchState.COMPLETED}),
        (searches, {"state": SearchState.FAILED, "finished_at": NOW}),  # without a reason
        (searches, {"paused_at": NOW}),  # while it runs
        (searches, {"stage": 1}),  # of one
        (leases, {"state": LeaseState.EXPIRED}),  # without an end
        (leases, {"ended_at": NOW}),  # while held
        (stages, {"n_planned": 7}),  # of six
    ],
)
def test_impossible_states_are_refused(context: Context, table: Any, values: dict[str, Any]) -> None:
    new_search(context)
    Hand(context).take(2)
    change = update(table).values(values)
    if table is trials:
        change = change.where(trials.c.state == TrialState.RUNNING)
    with pytest.raises((IntegrityError, InvalidInput)), context.database.write() as connection:
        connection.execute(change)


def test_fold_needs_its_trial(context: Context) -> None:
    row = {"search_id": "x", "trial": 0, "fold": 0, "best_epoch": 0, "epochs": 0, "train_loss": [], "scores": []}
    with pytest.raises(IntegrityError), context.database.write() as connection:
        connection.execute(insert(folds), row)


def test_naive_times_are_refused(context: Context) -> None:
    with pytest.raises(StatementError, match="aware"), context.database.write() as connection:
        connection.execute(update(workers).values(last_seen_at=datetime(2030, 1, 1)))


def test_times_come_back_in_utc(context: Context) -> None:
    Hand(context)
    there = datetime(2030, 6, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5)))
    with context.database.write() as connection:
        connection.execute(update(workers).values(last_seen_at=there))
    with context.database.read() as connection:
        back = connection.execute(select(workers.c.last_seen_at)).scalar_one()
    assert back == there
    assert back.tzinfo is UTC


def test_transaction_that_fails_leaves_nothing(context: Context) -> None:
    hand = Hand(context)

    def fail_half_way() -> None:
        with context.database.write() as connection:
            connection.execute(update(workers).values(name="other"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with context.database.read() as connection:
        assert connection.execute(select(workers.c.name)).scalar_one() == hand.name


def test_every_constraint_and_index_has_a_name() -> None:
    for table in metadata.tables.values():
        assert all(c.name for c in table.constraints)
        assert all(i.name for i in table.indexes)


def test_sql_is_written_in_the_database_package_alone() -> None:
    service = Path(__file__).parents[3] / "service"
    pattern = re.compile(r"exec_driver_sql|import sqlalchemy|from sqlalchemy(?! import Connection\n)")
    guilty = [
        path.relative_to(service).as_posix()
        for path in service.rglob("*.py")
        if path.parent.name != "db" and pattern.search(path.read_text())
    ]
    assert guilty == []
