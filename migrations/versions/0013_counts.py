"""Counts of trials that triggers keep, and indexes from which each statement finds what it needs without walking.

Revision: 0013, after 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_BEFORE = {
    "ix_trials_search_id_state_pack_key_number": ["search_id", "state", "pack_key", "number"],
    "ix_trials_search_id_rank_key_number": ["search_id", "rank_key", "number"],
    "ix_trials_progress": ["search_id", "stage", "state", "epochs", "epoch"],
}


def upgrade() -> None:
    op.create_table(
        "counts",
        sa.Column("search_id", sa.String(80), nullable=False),
        sa.Column("stage", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.BigInteger(), nullable=False),
        sa.Column("trained", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_counts_search_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("search_id", "stage", "state", "slot", name=op.f("pk_counts")),
    )
    for name in (*_BEFORE, "ix_trials_kept"):
        op.drop_index(name, "trials")
    op.create_index("ix_trials_search_id_state_number", "trials", ["search_id", "state", "number"])
    _partial("ix_trials_waiting", ["search_id", "pack_key", "number"], "state = 'waiting'")
    _partial("ix_trials_ranked", ["search_id", "rank_key", "number"], "rank_key IS NOT NULL")
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    _partial("ix_trials_kept", ["search_id", "rank_key", "number"], "kept = 1" if is_sqlite else "kept = true")
    op.create_index("ix_workers_last_seen_at", "workers", ["last_seen_at"])


def downgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for event in ("insert", "change", "delete"):  # the triggers that `service.db.counts` makes
        op.execute(f"DROP TRIGGER IF EXISTS count_trials_{event}{'' if is_sqlite else ' ON trials'}")
        if not is_sqlite:
            op.execute(f"DROP FUNCTION IF EXISTS count_trials_{event}()")
    op.drop_index("ix_workers_last_seen_at", "workers")
    for name in ("ix_trials_search_id_state_number", "ix_trials_waiting", "ix_trials_ranked", "ix_trials_kept"):
        op.drop_index(name, "trials")
    for name, columns in _BEFORE.items():
        op.create_index(name, "trials", columns)
    _partial("ix_trials_kept", ["search_id"], "kept")
    op.drop_table("counts")


def _partial(name: str, columns: list[str], condition: str) -> None:
    op.create_index(name, "trials", columns, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))
