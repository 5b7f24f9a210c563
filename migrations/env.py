"""Run the migration scripts, on the connection of `service.db.migrate` or, for the `alembic` command, on a new one."""

from __future__ import annotations

import os
from contextlib import closing

from alembic import context
from sqlalchemy import Connection, inspect

from foldstep.service.db import counts
from foldstep.service.db.engine import Database
from foldstep.service.db.tables import metadata
from foldstep.service.settings import Settings


def run(connection: Connection) -> None:
    """Run the scripts in one transaction, and make the triggers anew, which SQLite loses with a table."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    if inspect(connection).has_table("counts"):
        counts.install(connection)


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = Settings(database_url=os.environ["FOLDSTEP_DATABASE_URL"]).resolved_database_url
    with closing(Database(url)) as database, database.rebuild() as own:
        run(own)
