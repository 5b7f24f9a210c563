"""Trials that are paused at a rung, and those pruned before their last folds, with a score but no rank.

Revision: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_CHANGED = {
    "state": "state IN ('cancelled', 'completed', 'diverged', 'failed', 'paused', 'pruned', 'running', 'waiting')",
    "rank": "rank_key IS NULL OR score IS NOT NULL",
    "progress": "progress IS NULL OR state IN ('paused', 'running')",
}


def upgrade() -> None:
    op.drop_index("ix_trials_kept", table_name="trials")  # SQLite copies the table, and the index would lose its WHERE
    with op.batch_alter_table("trials") as trials:
        trials.add_column(sa.Column("rungs", sa.JSON(none_as_null=True), nullable=True))
        for name, condition in _CHANGED.items():
            trials.drop_constraint(op.f(f"ck_trials_{name}"), type_="check")
            trials.create_check_constraint(op.f(f"ck_trials_{name}"), condition)
    kept = sa.text("kept")
    op.create_index("ix_trials_kept", "trials", ["search_id"], sqlite_where=kept, postgresql_where=kept)
