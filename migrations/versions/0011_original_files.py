"""The file that a data set was read from, by the SHA-256 of its bytes; stored problems have no reading and baseline.

Revision: 0011, after 0010
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_SEARCHES = sa.table("searches", sa.column("id"), sa.column("problem"))


def upgrade() -> None:
    op.add_column("datasets", sa.Column("file", sa.String(64), nullable=True))
    _change_problems(lambda problem: {"reading": None, "baseline": None, **problem})


def downgrade() -> None:
    _change_problems(
        lambda problem: {name: value for name, value in problem.items() if name not in ("reading", "baseline")}
    )
    with op.batch_alter_table("datasets") as datasets:
        datasets.drop_column("file")


def _change_problems(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    connection = op.get_bind()
    for search_id, problem in connection.execute(sa.select(_SEARCHES)).all():
        values = {"problem": json.dumps(change(json.loads(problem)))}
        connection.execute(sa.update(_SEARCHES).where(_SEARCHES.c.id == search_id).values(values))
