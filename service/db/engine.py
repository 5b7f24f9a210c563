"""One database, SQLite or Postgres, with two kinds of transaction: `read` and `write`."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, TimeoutError

from foldstep.service.contract.errors import DatabaseDamaged, InvalidInput, Unavailable
from foldstep.service.db.prepared import Prepared

BUSY_TIMEOUT_S = 30.0


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


class Busy(Exception):
    """Somebody else writes just now."""


_BEGIN_READ, _BEGIN_WRITE = Prepared(text("BEGIN")), Prepared(text("BEGIN IMMEDIATE"))
_SAVE, _KEEP, _UNDO = (Prepared(text(f"{words} part")) for words in ("SAVEPOINT", "RELEASE", "ROLLBACK TO"))


class Database:
    """A connection pool.

    Attributes:
        is_sqlite: whether it is SQLite, which only one master may open.
        folder: where the SQLite file is; None for Postgres.

    On SQLite a write transaction takes the write lock when it begins (`BEGIN IMMEDIATE`), and only one
    thread of the process writes at a time, so that a transaction never fails half-way for a lock. On
    Postgres transactions run side by side, and what belongs together is locked by row.
    """

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        """Prepare to connect to `url` (`sqlite:///…` or `postgresql+psycopg://…`); nothing is opened yet."""
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.folder = Path(parsed.database or "").absolute().parent if self.is_sqlite else None
        self.engine = _sqlite_engine(url, pool_size) if self.is_sqlite else _postgres_engine(url, pool_size)
        self._quick = _quick_engine(url) if self.is_sqlite else self.engine
        self._lock = threading.Lock()
        self._writer: AbstractContextManager[Any] = self._lock if self.is_sqlite else nullcontext()
        self._own = threading.local()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with _translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is committed at the end, or rolled back by any exception.

        Raises:
            Unavailable: the database cannot be reached.
        """
        shared: Connection | None = getattr(self._own, "shared", None)
        if shared is not None:
            with _translated(), _part_of(shared):
                yield shared
            return
        with self._writer, _transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def together(self, *, wait: bool) -> Iterator[None]:
        """Make one transaction of all that this thread writes within the block, on SQLite; each is a part of its own.

        A part that fails is taken back alone. All parts are committed at the end of the block.

        Args:
            wait: whether to wait while somebody else writes, in this process or in another; and for the disk, when the
                log is copied into the database.

        Raises:
            Busy: somebody else writes, and is not to be waited for.
            Unavailable: the database cannot be reached.
        """
        if not self._lock.acquire(blocking=wait):
            raise Busy
        try:
            with _transaction(self.engine if wait else self._quick) as self._own.shared:
                yield
        except Unavailable as error:
            if not wait and getattr(getattr(error.__cause__, "orig", None), "sqlite_errorcode", None) == _BUSY:
                raise Busy from error
            raise
        finally:
            self._own.shared = None
            self._lock.release()

    @contextmanager
    def rebuild(self) -> Iterator[Connection]:
        """Open a transaction as `write` does, in which tables may be rebuilt.

        SQLite can change a constraint only by copying the table, dropping it and renaming the copy. With foreign keys
        enforced, rows that refer to it would be deleted; that can only be switched off outside of a transaction.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with self._writer, _translated(), self.engine.connect() as connection:
            connection.execution_options(writes=True)
            self._switch_foreign_keys(connection, "OFF")
            try:
                with connection.begin():
                    yield connection
            finally:
                self._switch_foreign_keys(connection, "ON")

    def _switch_foreign_keys(self, connection: Connection, state: str) -> None:
        if self.is_sqlite:
            raw: Any = connection.connection.driver_connection
            raw.execute(f"PRAGMA foreign_keys = {state}").close()

    def ping(self) -> None:
        """Ask the database for one row.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self._quick.dispose()


@contextmanager
def _transaction(engine: Engine) -> Iterator[Connection]:
    with _translated(), engine.connect() as connection:
        connection.execution_options(writes=True)
        with connection.begin():
            yield connection


_BUSY = sqlite3.SQLITE_BUSY


_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _damaged(error: Exception) -> DatabaseDamaged:
    reason = " ".join(str(getattr(error, "orig", error)).split())
    return DatabaseDamaged(
        f"The database is damaged ({reason}). Move its file away, then `foldstep restore` a backup, or rebuild what "
        "the checkpoints hold: `foldstep recover DIR --into NEW`."
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DataError, OverflowError, UnicodeError) as error:
        raise _unfit(error) from error
    except TimeoutError as error:
        raise Unavailable("The database does not answer those who wait for it; try again in a moment.") from error
    except (DBAPIError, sqlite3.DatabaseError) as error:
        orig = getattr(error, "orig", error)
        if getattr(orig, "sqlite_errorcode", None) in _DAMAGED:
            raise _damaged(error) from error
        if not isinstance(error, DBAPIError):
            raise  # by a listener, not by a statement
        if isinstance(error, IntegrityError) and "check constraint" in str(error.orig).lower():
            raise _unfit(error) from error
        if isinstance(error, OperationalError) or error.connection_invalidated:
            reason = " ".join(str(error.orig).split())
            raise Unavailable(f"The database does not answer ({reason}); try again in a moment.") from error
        raise


def _unfit(error: Exception) -> InvalidInput:
    reason = " ".join(str(getattr(error, "orig", error)).split())
    return InvalidInput(f"A value does not fit the database ({reason}); send another one.")


def _sqlite_engine(url: str, pool_size: int, timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=-1,
        json_serializer=_dumps,
        connect_args={"timeout": timeout_s, "check_same_thread": False, "isolation_level": None},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


_QUICK_PAGES = 20_000
"""Pages of the log (80 MB) from which on also a transaction that does not wait copies it; others do from 1,000 on."""


def _quick_engine(url: str) -> Engine:
    """Make an engine for transactions that do not wait."""
    engine = _sqlite_engine(url, 1, timeout_s=0)

    def prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA wal_autocheckpoint = {_QUICK_PAGES}").close()

    event.listen(engine, "connect", prepare)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Set the pragmas of a new connection: WAL allows reads during a write, NORMAL survives a process's crash."""
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "cache_size = -4000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    (_BEGIN_WRITE if writes else _BEGIN_READ).change(connection, {})


@contextmanager
def _part_of(connection: Connection) -> Iterator[None]:
    """Take back what the block writes, and no more, if it fails."""
    _SAVE.change(connection, {})
    try:
        yield
    except BaseException:
        _UNDO.change(connection, {})
        _KEEP.change(connection, {})
        raise
    _KEEP.change(connection, {})


def _postgres_engine(url: str, pool_size: int) -> Engine:
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        json_serializer=_dumps,
        connect_args={"connect_timeout": 10, "options": "-c timezone=utc"},
    )
