"""Training diagnostics of a fold, stored with its learning curves.

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("folds", sa.Column("diagnostics", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("folds", "diagnostics")
