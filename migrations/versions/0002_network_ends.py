"""How many inputs and outputs the networks of a search have, so that a trial's parameters are counted before it runs.

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
