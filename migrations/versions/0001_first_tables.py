"""The first tables.

Revision: 0001, the first
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Long: it is the list of the first tables, column by column; cut into pieces it would be harder to read.
def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("description", sa.JSON(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_datasets")),
    )
    op.create_index(op.f("ix_datasets_fingerprint"), "datasets", ["fingerprint"], unique=False)
    op.create_table(
        "searches",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("submitted", sa.JSON(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("n_folds", sa.Integer(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("n_stages", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(failure IS NOT NULL) = (state = 'failed')", name=op.f("ck_searches_failure")),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'stopped'))",
            name=op.f("ck_searches_finished"),
        ),
        sa.CheckConstraint("(paused_at IS NOT NULL) = (state = 'paused')", name=op.f("ck_searches_paused")),
        sa.CheckConstraint(
            "state IN ('completed', 'failed', 'paused', 'queued', 'running', 'stopped')", name=op.f("ck_searches_state")
        ),
        sa.CheckConstraint("n_folds >= 1", name=op.f("ck_searches_folds")),
        sa.CheckConstraint("stage >= 0 AND stage < n_stages", name=op.f("ck_searches_stage")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
    )
    op.create_index(op.f("ix_searches_state_created_at"), "searches", ["state", "created_at"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("device", sa.String(length=16), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "leases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("worker_id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("member_steps_per_s", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(ended_at IS NOT NULL) = (state IN ('expired', 'released'))", name=op.f("ck_leases_ended")),
        sa.CheckConstraint("state IN ('expired', 'held', 'released')", name=op.f("ck_leases_state")),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_leases_search_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_leases_worker_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leases")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_leases_search_id"), "leases", ["search_id"], unique=False)
    op.create_index(op.f("ix_leases_state_expires_at"), "leases", ["state", "expires_at"], unique=False)
    op.create_table(
        "stages",
        sa.Column("search_id", sa.String(length=80), nullable=False),
        sa.Column("stage", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("n_trials", sa.Integer(), nullable=True),
        sa.Column("n_planned", sa.Integer(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "n_planned >= 0 AND n_planned <= coalesce(n_trials, n_planned)", name=op.f("ck_stages_planned")
        ),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_stages_search_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("search_id", "stage", name=op.f("pk_stages")),
    )
    op.create_table(
        "trials",
        sa.Column("search_id", sa.String(length=80), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("pack_key", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("rank_key", sa.Double(), nullable=True),
        sa.Column("spread", sa.Double(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_id", sa.Integer(), nullable=True),
        sa.Column("worker_id", sa.Integer(), nullable=True),
        sa.Column("resume", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('cancelled', 'completed', 'diverged', 'failed', 'pruned'))",
            name=op.f("ck_trials_finished"),
        ),
        sa.CheckConstraint("score IS NULL OR state IN ('completed', 'pruned')", name=op.f("ck_trials_scored")),
        sa.CheckConstraint("state <> 'completed' OR score IS NOT NULL", name=op.f("ck_trials_completed")),
        sa.CheckConstraint("state <> 'running' OR lease_id IS NOT NULL", name=op.f("ck_trials_running")),
        sa.CheckConstraint("state <> 'waiting' OR lease_id IS NULL", name=op.f("ck_trials_waiting")),
        sa.CheckConstraint(
            "state IN ('cancelled', 'completed', 'diverged', 'failed', 'pruned', 'running', 'waiting')",
            name=op.f("ck_trials_state"),
        ),
        sa.CheckConstraint("(score IS NULL) = (rank_key IS NULL)", name=op.f("ck_trials_rank")),
        sa.CheckConstraint("progress IS NULL OR state = 'running'", name=op.f("ck_trials_progress")),
        sa.CheckConstraint("number >= 0 AND epoch >= 0 AND attempts >= 0", name=op.f("ck_trials_counts")),
        sa.ForeignKeyConstraint(["lease_id"], ["leases.id"], name=op.f("fk_trials_lease_id")),
        sa.ForeignKeyConstraint(["search_id"], ["searches.id"], name=op.f("fk_trials_search_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name=op.f("fk_trials_worker_id")),
        sa.PrimaryKeyConstraint("search_id", "number", name=op.f("pk_trials")),
    )
    op.create_index(
        "ix_trials_kept",
        "trials",
        ["search_id"],
        unique=False,
        sqlite_where=sa.text("kept"),
        postgresql_where=sa.text("kept"),
    )
    op.create_index(op.f("ix_trials_lease_id"), "trials", ["lease_id"], unique=False)
    op.create_index(
        op.f("ix_trials_search_id_rank_key_number"), "trials", ["search_id", "rank_key", "number"], unique=False
    )
    op.create_index(
        op.f("ix_trials_search_id_state_pack_key_number"),
        "trials",
        ["search_id", "state", "pack_key", "number"],
        unique=False,
    )
    op.create_table(
        "folds",
        sa.Column("search_id", sa.String(length=80), nullable=False),
        sa.Column("trial", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fold", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("best_epoch", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("train_loss", sa.LargeBinary(), nullable=False),
        sa.Column("scores", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.CheckConstraint("fold >= 0 AND best_epoch >= 0 AND best_epoch <= epochs", name=op.f("ck_folds_epochs")),
        sa.ForeignKeyConstraint(
            ["search_id", "trial"],
            ["trials.search_id", "trials.number"],
            name=op.f("fk_folds_search_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("search_id", "trial", "fold", name=op.f("pk_folds")),
    )


def downgrade() -> None:
    op.drop_table("folds")
    op.drop_index(op.f("ix_trials_search_id_state_pack_key_number"), table_name="trials")
    op.drop_index(op.f("ix_trials_search_id_rank_key_number"), table_name="trials")
    op.drop_index(op.f("ix_trials_lease_id"), table_name="trials")
    op.drop_index("ix_trials_kept", table_name="trials", sqlite_where=sa.text("kept"), postgresql_where=sa.text("kept"))
    op.drop_table("trials")
    op.drop_table("stages")
    op.drop_index(op.f("ix_leases_state_expires_at"), table_name="leases")
    op.drop_index(op.f("ix_leases_search_id"), table_name="leases")
    op.drop_table("leases")
    op.drop_table("workers")
    op.drop_index(op.f("ix_searches_state_created_at"), table_name="searches")
    op.drop_table("searches")
    op.drop_index(op.f("ix_datasets_fingerprint"), table_name="datasets")
    op.drop_table("datasets")
