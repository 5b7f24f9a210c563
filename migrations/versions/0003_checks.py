"""Checks before a search: their report, and leases whose purpose is to run them.

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("searches", sa.Column("checks", sa.JSON(), nullable=True))
    is_known = sa.CheckConstraint("purpose IN ('check', 'train')", name=op.f("ck_leases_purpose"))
    op.add_column("leases", sa.Column("purpose", sa.String(length=8), is_known, nullable=False, server_default="train"))


def downgrade() -> None:
    with op.batch_alter_table("leases") as leases:
        leases.drop_constraint(op.f("ck_leases_purpose"), type_="check")
        leases.drop_column("purpose")
    op.drop_column("searches", "checks")
