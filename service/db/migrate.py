"""The upgrade of a database to the present schema, by the scripts in `migrations/`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from foldstep.service.contract.errors import Conflict
from foldstep.service.db.engine import Database

HEAD = "0017"
"""The newest script; a test compares it with `migrations/versions`. With it a start needs Alembic only to upgrade."""

_ADVISORY_LOCK = 5_128_490_173


def upgrade(database: Database) -> bool:
    """Upgrade the database where it is not up to date; several masters may do so at once.

    Returns:
        Whether anything changed.

    Raises:
        Conflict: the database was made by a newer version.
        Unavailable: it cannot be reached.
    """
    with database.rebuild() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        present = revision(connection)
        if present == HEAD:
            return False
        _run_scripts(connection, present)
    return True


def revision(connection: Connection) -> str | None:
    """Read the id of the script that the database was last upgraded to; None for a new database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _run_scripts(connection: Connection, present: str | None) -> None:
    from alembic import command  # here, since it takes 200 ms that most starts do not need
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_scripts_folder()))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise Conflict(f"The database is of a newer version ({present}); install that version of foldstep.")
    command.upgrade(config, "head")


def _scripts_folder() -> Path:
    """Find the package `migrations`, next to `service`, without importing it, since it imports the tables."""
    return Path(__file__).parents[2] / "migrations"
