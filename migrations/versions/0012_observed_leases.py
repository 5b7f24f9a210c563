"""Leases that end by what a master observes; suspicion after a worker's death; keys of requests that are repeated.

Revision: 0012, after 0011
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_LEASES = sa.table("leases", sa.column("id"), sa.column("token"))


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default="0")


_NEW: dict[str, list[sa.Column[Any]]] = {
    "searches": [sa.Column("submit_key", sa.String(255)), sa.Column("extended", sa.JSON())],
    "workers": [sa.Column("key", sa.String(64)), sa.Column("died_at", sa.DateTime(timezone=True))],
    "leases": [
        _number("renewals"),
        sa.Column("request_key", sa.String(64)),
        _number("blame"),
        sa.Column("death", sa.Text()),
    ],
    "trials": [
        sa.Column("lease_cap", sa.Integer()),
        _number("blame"),
        _number("blamed_at_epoch"),
        sa.Column("lost_lease_id", sa.Integer()),
    ],
}
_UNIQUE = {"searches": "submit_key", "workers": "key", "leases": "request_key"}


def upgrade() -> None:
    for table, columns in _NEW.items():
        for column in columns:
            op.add_column(table, column._copy())
    for table, name in _UNIQUE.items():
        op.create_index(f"ix_{table}_{name}", table, [name], unique=True)
    is_lost = sa.text("lost_lease_id IS NOT NULL")
    op.create_index(
        "ix_trials_lost_lease_id", "trials", ["lost_lease_id"], sqlite_where=is_lost, postgresql_where=is_lost
    )
    _hash_tokens()


def _hash_tokens() -> None:
    """Replace the token of each lease by its SHA-256; workers keep theirs."""
    connection = op.get_bind()
    for lease_id, token in connection.execute(sa.select(_LEASES)).all():
        hashed = hashlib.sha256(token.encode()).hexdigest()
        connection.execute(sa.update(_LEASES).where(_LEASES.c.id == lease_id).values(token=hashed))


def downgrade() -> None:
    """Go back; workers lose the leases that they hold, since their tokens cannot be had from the hashes."""
    op.drop_index("ix_trials_lost_lease_id", "trials")
    for table, name in _UNIQUE.items():
        op.drop_index(f"ix_{table}_{name}", table)
    for table, columns in _NEW.items():
        for column in reversed(columns):
            op.drop_column(table, column.name)
