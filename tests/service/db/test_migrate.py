"""The scripts make exactly the tables that the code has, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from foldstep.service.contract.errors import Conflict
from foldstep.service.db.engine import Database
from foldstep.service.db.migrate import HEAD, revision, upgrade
from foldstep.service.db.tables import metadata
from foldstep.service.settings import Settings
from tests.service.conftest import PostgresServer

_SCRIPTS = Path(__file__).parents[3] / "migrations"


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = ""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create(f"empty_{abs(hash(tmp_path))}")
    database = Database(Settings(database_url=url, data_dir=tmp_path).resolved_database_url)
    yield database
    database.close()


def shape(connection: Connection) -> dict[str, Any]:
    """All that a database says of its tables, the CHECK constraints among it; conditions of indexes as text."""
    inspector = inspect(connection)
    return {
        name: {
            "columns": [{**c, "type": str(c["type"])} for c in inspector.get_columns(name)],
            "primary key": inspector.get_pk_constraint(name),
            "foreign keys": sorted(inspector.get_foreign_keys(name), key=str),
            "checks": sorted(inspector.get_check_constraints(name), key=str),
            "indexes": [
                {**i, "dialect_options": {k: str(v) for k, v in i["dialect_options"].items()}}
                for i in inspector.get_indexes(name)
            ],
        }
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def test_scripts_make_the_tables_of_the_code(empty: Database) -> None:
    assert upgrade(empty)
    with empty.read() as connection:
        migrated = shape(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert revision(connection) == HEAD
    with empty.write() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        metadata.drop_all(connection)
        metadata.create_all(connection)
        assert shape(connection) == migrated


def test_second_upgrade_changes_nothing(empty: Database) -> None:
    assert upgrade(empty)
    assert not upgrade(empty)


def test_tables_that_are_made_anew_keep_their_rows_and_what_refers_to_them(empty: Database) -> None:
    with empty.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for statement in _A_TRIAL_WITH_A_FOLD:
            connection.execute(text(statement))
    assert upgrade(empty)
    with empty.write() as connection:
        assert connection.execute(text("SELECT count(*) FROM trials WHERE rungs IS NULL")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM folds")).scalar_one() == 1
        connection.execute(text("DELETE FROM trials"))
        assert connection.execute(text("SELECT count(*) FROM folds")).scalar_one() == 0, "foreign keys are on again"


_A_TRIAL_WITH_A_FOLD = (
    "INSERT INTO searches (id, name, state, submitted, spec, dataset, fingerprint, n_folds, notes, stage, n_stages,"
    " created_at) VALUES ('s', 's', 'queued', '{}', '{}', 'd', 'f', 1, '[]', 0, 1, '2030-01-01')",
    "INSERT INTO trials (search_id, number, stage, state, params, pack_key, epoch, epochs, attempts, kept, created_at)"
    " VALUES ('s', 0, 0, 'waiting', '{}', 32, 0, 1, 0, false, '2030-01-01')",
    "INSERT INTO folds (search_id, trial, fold, best_epoch, epochs, train_loss, scores)"
    " VALUES ('s', 0, 0, 0, 0, '', '')",
)


def test_head_is_the_newest_script() -> None:
    assert ScriptDirectory(str(_SCRIPTS)).get_current_head() == HEAD


def test_database_of_a_newer_version_is_refused(empty: Database) -> None:
    upgrade(empty)
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="newer version"):
        upgrade(empty)
