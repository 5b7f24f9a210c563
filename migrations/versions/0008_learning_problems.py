"""One record of a search's learning problem, instead of five columns; a worker's `step` becomes its `backend`.

Revision: 0008, after 0007
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OLD_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "dataset": sa.Text(),
    "fingerprint": sa.String(64),
    "n_folds": sa.Integer(),
    "n_inputs": sa.Integer(),
    "n_outputs": sa.Integer(),
}
_SEARCHES = sa.table("searches", *(sa.column(name) for name in ("id", "spec", "problem", *_OLD_COLUMNS)))
_DATASETS = sa.table("datasets", sa.column("fingerprint"), sa.column("description", sa.JSON))


def upgrade() -> None:
    op.execute("ALTER TABLE workers RENAME COLUMN step TO backend")
    op.add_column("searches", sa.Column("problem", sa.Text(), nullable=True))
    connection = op.get_bind()
    n_rows = _n_rows(connection)
    for row in connection.execute(sa.select(_SEARCHES)).mappings().all():
        problem = _problem(row, n_rows.get(row["fingerprint"]))
        _change(connection, row["id"], {"problem": json.dumps(problem)})
    with op.batch_alter_table("searches") as searches:
        searches.alter_column("problem", existing_type=sa.Text(), nullable=False)
        searches.drop_constraint(op.f("ck_searches_folds"), type_="check")
        for name in _OLD_COLUMNS:
            searches.drop_column(name)


def downgrade() -> None:
    for name, kind in _OLD_COLUMNS.items():
        op.add_column("searches", sa.Column(name, kind, nullable=True))
    connection = op.get_bind()
    for row in connection.execute(sa.select(_SEARCHES)).mappings().all():
        problem = json.loads(row["problem"])
        values = {name: problem[name] for name in _OLD_COLUMNS if name != "dataset"}
        _change(connection, row["id"], {**values, "dataset": problem["data"]["dataset"]})
    with op.batch_alter_table("searches") as searches:
        for name in ("dataset", "fingerprint", "n_folds"):
            searches.alter_column(name, existing_type=_OLD_COLUMNS[name], nullable=False)
        searches.create_check_constraint(op.f("ck_searches_folds"), "n_folds >= 1")
        searches.drop_column("problem")
    op.execute("ALTER TABLE workers RENAME COLUMN backend TO step")


def _n_rows(connection: sa.Connection) -> dict[str, int]:
    """Find the number of rows by fingerprint; files that were never registered under a name are absent."""
    found = connection.execute(sa.select(_DATASETS)).all()
    return {fingerprint: description["n_rows"] for fingerprint, description in found}


def _problem(row: Any, n_rows: int | None) -> dict[str, Any]:
    """Build the record as version 0008 reads it; the spec of a stored search has everything filled in."""
    spec = json.loads(row["spec"])
    return {
        "fingerprint": row["fingerprint"],
        "task": spec["data"]["task"],
        "target": spec["data"]["target"],
        "metric": spec["metric"],
        "data": spec["data"],
        "cv": spec["cv"],
        "seed": spec["seed"],
        "n_folds": row["n_folds"],
        "n_rows": n_rows,
        "n_inputs": row["n_inputs"],
        "n_outputs": row["n_outputs"],
    }


def _change(connection: sa.Connection, search_id: str, values: dict[str, Any]) -> None:
    connection.execute(sa.update(_SEARCHES).where(_SEARCHES.c.id == search_id).values(values))
