"""The numbers of inputs and outputs of a search's networks, to count a trial's parameters before it runs.

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("searches", sa.Column("n_inputs", sa.Integer(), nullable=True))
    op.add_column("searches", sa.Column("n_outputs", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("searches", "n_outputs")
    op.drop_column("searches", "n_inputs")
