"""Trials that are paused at a rung, and those pruned before their last folds, with a score but no rank.

Revision: 0005, after 0004
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NEW = {
    "state": "state IN ('cancelled', 'completed', 'diverged', 'failed', 'paused', 'pruned', 'running', 'waiting')",
    "rank": "rank_key IS NULL OR score IS NOT NULL",
    "progress": "progress IS NULL OR state IN ('paused', 'running')",
}
_OLD = {
    "state": "state IN ('cancelled', 'completed', 'diverged', 'failed', 'pruned', 'running', 'waiting')",
    "rank": "(score IS NULL) = (rank_key IS NULL)",
    "progress": "progress IS NULL OR state = 'running'",
}


def upgrade() -> None:
    with _rebuilt() as trials:
        trials.add_column(sa.Column("rungs", sa.JSON(none_as_null=True), nullable=True))
        _replace(trials, _NEW)


def downgrade() -> None:
    """Paused trials wait again from their start; scores of trials that were pruned before their last folds are lost."""
    op.execute(
        "UPDATE trials SET state = 'waiting', lease_id = NULL, worker_id = NULL, progress = NULL, epoch = 0,"
        " resume = NULL WHERE state = 'paused'"
    )
    op.execute("UPDATE trials SET score = NULL, spread = NULL WHERE rank_key IS NULL")
    with _rebuilt() as trials:
        _replace(trials, _OLD)
        trials.drop_column("rungs")


@contextmanager
def _rebuilt() -> Iterator[BatchOperations]:
    op.drop_index("ix_trials_kept", table_name="trials")  # SQLite copies the table, and the index would lose its WHERE
    with op.batch_alter_table("trials") as trials:
        yield trials
    kept = sa.text("kept")
    op.create_index("ix_trials_kept", "trials", ["search_id"], sqlite_where=kept, postgresql_where=kept)


def _replace(trials: BatchOperations, conditions: dict[str, str]) -> None:
    for name, condition in conditions.items():
        trials.drop_constraint(op.f(f"ck_trials_{name}"), type_="check")
        trials.create_check_constraint(op.f(f"ck_trials_{name}"), condition)
