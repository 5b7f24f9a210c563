"""Trials that continue the training of a trial of the stage before.

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trials", sa.Column("continues", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("trials", "continues")
