"""The scores of each of several targets, stored with the score of a fold.

Revision: 0015, after 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("folds", sa.Column("target_scores", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("folds", "target_scores")
