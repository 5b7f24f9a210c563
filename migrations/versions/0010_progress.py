"""The pace of each search, and an index from which its progress is read.

Revision: 0010, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "paces",
        sa.Column("search_id", sa.String(80), nullable=False),
        sa.Column("member_steps", sa.Double(), nullable=False),
        sa.Column("epochs", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_paces_search_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("search_id", name=op.f("pk_paces")),
    )
    op.create_index("ix_trials_progress", "trials", ["search_id", "stage", "state", "epochs", "epoch"])


def downgrade() -> None:
    op.drop_index("ix_trials_progress", "trials")
    op.drop_table("paces")
