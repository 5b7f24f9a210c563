"""Trials whose metric has no value in a fold, although their losses are finite.

Revision: 0009, after 0008
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ENDED = ("cancelled", "completed", "diverged", "failed", "pruned")
_OPEN = ("paused", "running", "waiting")


def upgrade() -> None:
    _allow((*_ENDED, "undefined"))


def downgrade() -> None:
    op.execute("UPDATE trials SET state = 'diverged' WHERE state = 'undefined'")
    _allow(_ENDED)


def _allow(ended: Sequence[str]) -> None:
    """Allow the open states and these ones that trials end in."""
    changed = {
        "state": f"state IN ({_words([*ended, *_OPEN])})",
        "finished": f"(finished_at IS NOT NULL) = (state IN ({_words(ended)}))",
    }
    op.drop_index("ix_trials_kept", table_name="trials")  # SQLite copies the table, and the index would lose its WHERE
    with op.batch_alter_table("trials") as trials:
        for name, condition in changed.items():
            trials.drop_constraint(op.f(f"ck_trials_{name}"), type_="check")
            trials.create_check_constraint(op.f(f"ck_trials_{name}"), condition)
    kept = sa.text("kept")
    op.create_index("ix_trials_kept", "trials", ["search_id"], sqlite_where=kept, postgresql_where=kept)


def _words(states: Sequence[str]) -> str:
    return ", ".join(f"'{state}'" for state in sorted(states))
