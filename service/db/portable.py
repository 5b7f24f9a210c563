"""Copies of a database while it is in use: to one SQLite file, whatever it is, and from such a file into a new one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Table, insert, select, text

from foldstep.service.contract.errors import Conflict, DatabaseDamaged
from foldstep.service.db.engine import Database
from foldstep.service.db.migrate import HEAD, revision, upgrade
from foldstep.service.db.tables import counts, leases, metadata, searches, workers

_ROWS = 500
_NUMBERED = (workers, leases)
"""Tables whose numbers are never given twice: a worker may still hold an old one."""


def copy_out(database: Database, path: Path) -> None:
    """Write all rows, as they are at one moment, to a new SQLite file; others read and write meanwhile.

    Raises:
        Conflict: a Postgres database is of another version.
    """
    if database.is_sqlite:
        _copy_sqlite(database, path)
        return
    with closing(_file(path)) as target:
        upgrade(target)
        with _at_one_moment(database) as source, target.rebuild() as into:
            if revision(source) != HEAD:
                raise Conflict("The database is of another version; `foldstep upgrade` brings it to this one.")
            _copy_rows(source, into)
            for table in _NUMBERED:
                numbers = {"name": table.name, "last": _last_number(source, table)}
                into.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), numbers)
                into.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), numbers)
    _as_one_file(path)


def copy_in(path: Path, database: Database) -> None:
    """Fill a new database with the rows of a SQLite file, and bring it to this version.

    Raises:
        Conflict: the database has searches already, or the file is of a newer version.
    """
    with closing(_file(path)) as source:
        upgrade(source)
        if not database.is_sqlite:
            _fill(source, database)
            return
    _as_one_file(path)
    shutil.move(path, str(database.engine.url.database))


def _fill(source: Database, database: Database) -> None:
    upgrade(database)
    with source.read() as rows, database.write() as into:
        if into.execute(select(searches.c.id).limit(1)).first() is not None:
            raise Conflict("The database has searches already; restore into an empty one.")
        _copy_rows(rows, into)
        for table in _NUMBERED:
            _number_from(rows, into, table)


def check_file(path: Path) -> None:
    """Check a SQLite file whole: its pages, its indexes, and that every row refers to one that is there.

    Raises:
        DatabaseDamaged: it is not whole.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(1)
    except sqlite3.DatabaseError as error:
        raise DatabaseDamaged(f"The database {path.name} is damaged: {error}.") from error
    if found != ["ok"]:
        raise DatabaseDamaged(f"The database {path.name} is damaged: {'; '.join(found)}.")
    if orphans:
        raise DatabaseDamaged(f"The database {path.name} is damaged: a row of {orphans[0][0]} refers to none.")


def _file(path: Path) -> Database:
    return Database(f"sqlite:///{quote(str(path.absolute()))}")


def _copy_sqlite(database: Database, path: Path) -> None:
    raw = database.engine.raw_connection()
    try:
        source: Any = raw.driver_connection
        with closing(sqlite3.connect(path)) as target:
            source.backup(target)
    finally:
        raw.close()
    _as_one_file(path)


def _as_one_file(path: Path) -> None:
    """Fold the write-ahead log into the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def _at_one_moment(database: Database) -> Iterator[Connection]:
    with database.read() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        yield connection


def _copy_rows(source: Connection, into: Connection) -> None:
    for table in metadata.sorted_tables:
        if table is counts:
            continue  # the triggers count the trials as they come in
        found = source.execution_options(yield_per=_ROWS).execute(select(table)).mappings()
        for rows in found.partitions(_ROWS):
            into.execute(insert(table), [dict(row) for row in rows])


def _last_number(source: Connection, table: Table) -> int:
    name = source.execute(text("SELECT pg_get_serial_sequence(:table, 'id')"), {"table": table.name}).scalar_one()
    last, is_used = source.execute(text(f"SELECT last_value, is_called FROM {name}")).one()
    return int(last) if is_used else 0


def _number_from(rows: Connection, into: Connection, table: Table) -> None:
    found = rows.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": table.name}).scalar()
    if found:
        statement = text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :last)")
        into.execute(statement, {"table": table.name, "last": found})
