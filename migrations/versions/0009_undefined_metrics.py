"""Trials whose metric has no value in a fold, although their losses are finite.

Revision: 0009, after 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TERMINAL = "'cancelled', 'completed', 'diverged', 'failed', 'pruned', 'undefined'"
_STATES = "'cancelled', 'completed', 'diverged', 'failed', 'paused', 'pruned', 'running', 'undefined', 'waiting'"
_CHANGED = {"state": f"state IN ({_STATES})", "finished": f"(finished_at IS NOT NULL) = (state IN ({_TERMINAL}))"}


def upgrade() -> None:
    op.drop_index("ix_trials_kept", table_name="trials")  # SQLite copies the table, and the index would lose its WHERE
    with op.batch_alter_table("trials") as trials:
        for name, condition in _CHANGED.items():
            trials.drop_constraint(op.f(f"ck_trials_{name}"), type_="check")
            trials.create_check_constraint(op.f(f"ck_trials_{name}"), condition)
    kept = sa.text("kept")
    op.create_index("ix_trials_kept", "trials", ["search_id"], sqlite_where=kept, postgresql_where=kept)
