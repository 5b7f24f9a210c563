"""Whether the database can be written to, in words that name no address."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from foldstep.service.contract.errors import DatabaseDamaged, FoldstepError
from foldstep.service.db.engine import Database

_WRITE = text("UPDATE alembic_version SET version_num = version_num")
_OF_SQLITE = {
    "SQLITE_FULL": "its disk is full",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_BUSY": "another process holds it",
    "SQLITE_CORRUPT": "its file is damaged",
    "SQLITE_NOTADB": "its file is damaged",
    "SQLITE_CANTOPEN": "its file cannot be opened",
    "SQLITE_IOERR": "its file cannot be read or written",
}
_OF_POSTGRES = {
    "53100": "its disk is full",
    "25006": "it is read-only",
    "53300": "it has too many connections",
    "57P01": "it is shutting down",
    "57P03": "it is starting or shutting down",
}


def why_not_writable(database: Database) -> str | None:
    """Write one row as it is; say in words what is in the way, and None where nothing is."""
    try:
        with database.write() as connection:
            connection.execute(_WRITE)
    except (FoldstepError, SQLAlchemyError) as error:
        return f"the database cannot be written to: {_reason(error)}"
    return None


def _reason(error: BaseException) -> str:
    if isinstance(error, DatabaseDamaged):
        return "its file is damaged"
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    orig: Any = getattr(cause, "orig", None)
    name = getattr(orig, "sqlite_errorname", None) or ""
    of_sqlite = next((words for code, words in _OF_SQLITE.items() if name.startswith(code)), None)
    return of_sqlite or _OF_POSTGRES.get(getattr(orig, "sqlstate", None) or "", "it cannot be reached")
