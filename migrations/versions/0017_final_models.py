"""The final models of searches, each with its score on the test part; searches that follow others.

Revision: 0017, after 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "finals",
        sa.Column("search_id", sa.String(80), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_finals_search_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("search_id", "number", name=op.f("pk_finals")),
    )

    with op.batch_alter_table("searches") as table:
        table.add_column(sa.Column("follows", sa.String(80), nullable=True))
        table.add_column(sa.Column("purpose", sa.String(16), nullable=True))
        table.create_check_constraint(op.f("ck_searches_follows"), "(follows IS NULL) = (purpose IS NULL)")
        table.create_index(op.f("ix_searches_follows_purpose"), ["follows", "purpose"], unique=True)


def downgrade() -> None:
    with op.batch_alter_table("searches") as table:
        table.drop_index(op.f("ix_searches_follows_purpose"))
        table.drop_constraint(op.f("ck_searches_follows"), type_="check")
        table.drop_column("purpose")
        table.drop_column("follows")
    op.drop_table("finals")
