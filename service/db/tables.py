"""The tables. CHECK constraints refuse every state that the transition tables cannot reach."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    literal_column,
    true,
)

from foldstep.service.contract.states import (
    TERMINAL_LEASE,
    TERMINAL_SEARCH,
    TERMINAL_TRIAL,
    LeaseState,
    SearchState,
    TrialState,
)
from foldstep.service.db.types import Numbers, State, UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


def words(states: Iterable[StrEnum]) -> str:
    """Write the states as an SQL list, in alphabetical order."""
    return ", ".join(f"'{s.value}'" for s in sorted(states))


tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),  # SHA-256 of the secret, as hexadecimal digits
    Column("scopes", JSON, nullable=False),
    Column("maker", String(16), nullable=False),  # who asked for a link; empty for the master's own token
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    CheckConstraint("kind IN ('link', 'token')", name="kind"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("description", JSON, nullable=False),
    # where the file was read from, to notice that it changed since; NULL for uploads and bundled sets
    Column("path", Text),
    Column("created_at", UtcDateTime, nullable=False),
    # the SHA-256 of the file's bytes; NULL for bundled sets and where an earlier version read it
    Column("file", String(64)),
    Index(None, "fingerprint"),
)

searches = Table(
    "searches",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("state", State(SearchState), nullable=False),
    Column("submitted", JSON, nullable=False),  # as the user wrote it
    Column("spec", Text, nullable=False),  # as it was read, what it left out filled in; the JSON of a `Spec`
    Column("notes", JSON, nullable=False),
    Column("failure", Text),
    Column("stage", Integer, nullable=False),
    Column("n_stages", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("paused_at", UtcDateTime),
    Column("deadline_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("checks", JSON(none_as_null=True)),  # the report of the checks before it, once they are done
    Column("problem", Text, nullable=False),  # of its trials; the JSON of a `LearningProblem`
    Column("submit_key", String(255)),  # what a client sends with its submission, so that it may repeat it
    Column("extended", JSON(none_as_null=True)),  # the last extension that came with a key, for the same reason
    Column("follows", String(80)),  # the search after whose end it was begun; that may be deleted by now
    Column("purpose", String(16)),  # what for: see `service/flow/follow.py`
    CheckConstraint(f"state IN ({words(SearchState)})", name="state"),
    CheckConstraint(f"(finished_at IS NOT NULL) = (state IN ({words(TERMINAL_SEARCH)}))", name="finished"),
    CheckConstraint("(failure IS NOT NULL) = (state = 'failed')", name="failure"),
    CheckConstraint("(paused_at IS NOT NULL) = (state = 'paused')", name="paused"),
    CheckConstraint("stage >= 0 AND stage < n_stages", name="stage"),
    Index(None, "state", "created_at"),
    CheckConstraint("(follows IS NULL) = (purpose IS NULL)", name="follows"),
    Index(None, "submit_key", unique=True),
    Index(None, "follows", "purpose", unique=True),
)

stages = Table(
    "stages",
    metadata,
    Column("search_id", ForeignKey(searches.c.id, ondelete="CASCADE"), primary_key=True),
    Column("stage", Integer, primary_key=True, autoincrement=False),
    Column("plan", JSON, nullable=False),
    Column("n_trials", Integer),  # how many it asks for; NULL for no limit
    Column("n_planned", Integer, nullable=False),
    Column("findings", JSON, nullable=False),  # of the border check at its end
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("n_planned >= 0 AND n_planned <= coalesce(n_trials, n_planned)", name="planned"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("device", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("backend", String(16)),  # what computes its training steps; null where it does not say
    Column("key", String(64)),  # what its parent named it; null where it has none
    Column("died_at", UtcDateTime),  # when its parent said that it is dead
    Index(None, "key", unique=True),
    Index(None, "last_seen_at"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String(64), nullable=False),  # its SHA-256, as hexadecimal digits
    Column("worker_id", ForeignKey(workers.c.id), nullable=False),
    Column("search_id", ForeignKey(searches.c.id, ondelete="CASCADE"), nullable=False),
    Column("state", State(LeaseState), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("reported_at", UtcDateTime, nullable=False),
    Column("member_steps_per_s", Double, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("purpose", String(8), nullable=False, server_default="train"),
    Column("renewals", Integer, nullable=False, server_default="0"),  # a master sees by it that its worker lives
    Column("request_key", String(64)),  # the SHA-256 of the key of the request that it answered
    Column("blame", Integer, nullable=False, server_default="0"),  # what its worker's death weighs, if it died
    Column("death", Text),  # what was seen of it, in words
    CheckConstraint("purpose IN ('check', 'train')", name="purpose"),
    CheckConstraint(f"state IN ({words(LeaseState)})", name="state"),
    CheckConstraint(f"(ended_at IS NOT NULL) = (state IN ({words(TERMINAL_LEASE)}))", name="ended"),
    Index(None, "state", "expires_at"),
    Index(None, "search_id"),
    Index(None, "request_key", unique=True),
    sqlite_autoincrement=True,
)

paces = Table(
    "paces",
    metadata,
    Column("search_id", ForeignKey(searches.c.id, ondelete="CASCADE"), primary_key=True),
    # sums over the last reports, each with a weight that fades with time
    Column("member_steps", Double, nullable=False),
    Column("epochs", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("reported_at", UtcDateTime, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("search_id", ForeignKey(searches.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("stage", Integer, nullable=False),
    Column("state", State(TrialState), nullable=False),
    Column("params", JSON, nullable=False),
    Column("pack_key", Integer, nullable=False),  # trials that differ in it cannot share a pack
    Column("score", Double),
    Column("rank_key", Double),  # the score with its sign turned so that less is better
    Column("spread", Double),
    Column("epoch", Integer, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("progress", Double),  # best score so far, while it runs
    Column("attempts", Integer, nullable=False),  # how often it was begun and not given back
    Column("lease_id", ForeignKey(leases.c.id)),  # the present one, or the last
    Column("worker_id", ForeignKey(workers.c.id)),
    Column("resume", Text),
    Column("message", Text),
    Column("duration_s", Double),
    Column("kept", Boolean, nullable=False),  # whether checkpoints of it are on disk
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("rungs", JSON(none_as_null=True)),  # folds' scores at each rung it reached; at its end, at all of them
    Column("continues", Integer),  # the trial of the stage before whose training it continues
    # after its worker died: how many trials may share its next lease; NULL where it is under no suspicion
    Column("lease_cap", Integer),
    # deaths of workers that trained it alone, weighed, since it last got further; and the epoch that it reached then
    Column("blame", Integer, nullable=False, server_default="0"),
    Column("blamed_at_epoch", Integer, nullable=False, server_default="0"),
    Column("lost_lease_id", Integer),  # the expired lease that it waits after; its worker may still report
    CheckConstraint(f"state IN ({words(TrialState)})", name="state"),
    CheckConstraint("state <> 'running' OR lease_id IS NOT NULL", name="running"),
    CheckConstraint("state <> 'waiting' OR lease_id IS NULL", name="waiting"),
    # a trial pruned before its last folds has a score of the others, and no rank
    CheckConstraint("rank_key IS NULL OR score IS NOT NULL", name="rank"),
    CheckConstraint("state <> 'completed' OR score IS NOT NULL", name="completed"),
    CheckConstraint("score IS NULL OR state IN ('completed', 'pruned')", name="scored"),
    CheckConstraint(f"(finished_at IS NOT NULL) = (state IN ({words(TERMINAL_TRIAL)}))", name="finished"),
    CheckConstraint("progress IS NULL OR state IN ('paused', 'running')", name="progress"),
    CheckConstraint("number >= 0 AND epoch >= 0 AND attempts >= 0", name="counts"),
    Index(None, "search_id", "state", "number"),
    Index(None, "lease_id"),
)
_IS_LOST = trials.c.lost_lease_id.is_not(None)
Index("ix_trials_lost_lease_id", trials.c.lost_lease_id, sqlite_where=_IS_LOST, postgresql_where=_IS_LOST)

IS_WAITING = trials.c.state == literal_column(f"'{TrialState.WAITING.value}'")
"""A condition for statements, too: a database uses an index of some rows where the statement has its very condition."""
IS_RANKED = trials.c.rank_key.is_not(None)
IS_KEPT = trials.c.kept == true()
_RANKED = (trials.c.search_id, trials.c.rank_key, trials.c.number)
Index(
    "ix_trials_waiting", trials.c.search_id, trials.c.pack_key, trials.c.number,
    sqlite_where=IS_WAITING, postgresql_where=IS_WAITING,
)  # fmt: skip
Index("ix_trials_ranked", *_RANKED, sqlite_where=IS_RANKED, postgresql_where=IS_RANKED)
Index("ix_trials_kept", *_RANKED, sqlite_where=IS_KEPT, postgresql_where=IS_KEPT)

counts = Table(
    "counts",
    metadata,
    Column("search_id", ForeignKey(searches.c.id, ondelete="CASCADE"), primary_key=True),
    Column("stage", Integer, primary_key=True, autoincrement=False),
    Column("state", State(TrialState), primary_key=True),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),  # a transaction that counted; 0 for the others
    Column("n", Integer, nullable=False),
    # of the trials that have ended
    Column("epochs", BigInteger, nullable=False),
    Column("trained", BigInteger, nullable=False),
)

folds = Table(
    "folds",
    metadata,
    Column("search_id", String(80), primary_key=True),
    Column("trial", Integer, primary_key=True, autoincrement=False),
    Column("fold", Integer, primary_key=True, autoincrement=False),
    Column("score", Double),
    Column("best_epoch", Integer, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("train_loss", Numbers, nullable=False),
    Column("scores", Numbers, nullable=False),
    Column("checkpoint", Text),
    Column("diagnostics", Numbers("f")),  # the flat form of `Diagnostics`; NULL where none came
    Column("target_scores", Numbers),  # of each of several targets; NULL for one
    Column("n_parameters", BigInteger),  # of the fold's network; NULL where its worker did not count them
    ForeignKeyConstraint(["search_id", "trial"], [trials.c.search_id, trials.c.number], ondelete="CASCADE"),
    CheckConstraint("fold >= 0 AND best_epoch >= 0 AND best_epoch <= epochs", name="epochs"),
)

finals = Table(
    "finals",
    metadata,
    Column("search_id", ForeignKey(searches.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),  # the JSON of a `FinalModel`
)
