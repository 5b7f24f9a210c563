"""The composition root: settings in, application out; `python -m foldstep.service.app` serves it."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio.to_thread
from fastapi import APIRouter, FastAPI

from foldstep.service import child
from foldstep.service.api import (
    answers,
    datasets,
    health,
    leases,
    problems,
    searches,
    session,
    tokens,
    trials,
    unread,
    workers,
)
from foldstep.service.api.description import describe
from foldstep.service.api.direct import DirectCalls
from foldstep.service.api.guard import Guard
from foldstep.service.api.headers import SecurityHeaders
from foldstep.service.api.limits import BodyLimit
from foldstep.service.api.requests import API, RequestLog
from foldstep.service.api.version import VersionHeader
from foldstep.service.auth.attempts import WrongTokens
from foldstep.service.auth.door import Door
from foldstep.service.auth.token_file import load_or_make_token
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.logs import hide, set_up
from foldstep.service.contract.version import __version__
from foldstep.service.dashboard.pages import Pages, public_paths
from foldstep.service.db.engine import Database
from foldstep.service.db.lock import exclusive
from foldstep.service.db.migrate import upgrade
from foldstep.service.flow.context import Context, utc_now
from foldstep.service.flow.measures import timed
from foldstep.service.flow.recover import recover
from foldstep.service.flow.retain import EVERY_S, retain
from foldstep.service.flow.sign_in import make_link
from foldstep.service.flow.sweep import sweep
from foldstep.service.flow.watch import Watch, watch_of
from foldstep.service.folder import keep_private, take_rights, usable_folder
from foldstep.service.serving import address_of, check_certificate, listening, server
from foldstep.service.settings import Settings, settings_from_environment

_log = logging.getLogger(__name__)
ADDRESS_FILE = "address"


def create_app(
    settings: Settings, *, answering: str = "", now: Callable[[], datetime] = utc_now, watch: Watch | None = None
) -> FastAPI:
    """Build the application; its database is opened and upgraded when it starts.

    Args:
        settings: the master's settings.
        answering: the module of the child process that works with networks; empty for none.
        now: the clock; tests pass their own.
        watch: of the leases; tests pass one with their own clock.
    """
    app = FastAPI(title="Foldstep", version=__version__, lifespan=_lifespan, docs_url=None, redoc_url=None)
    database, wrong = Database(settings.resolved_database_url), WrongTokens(settings.wrong_tokens_per_minute)
    app.state.context = Context(database, settings, now, watch or watch_of(settings), answering=answering)
    app.state.token = load_or_make_token(settings)
    app.state.door = Door(app.state.token, database, now, wrong)
    problems.install(app)
    unread.install(app)
    # the last one is the first that a request meets
    app.add_middleware(DirectCalls, prefix=API, context=app.state.context, calls=leases.DIRECT)
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(Guard, settings=settings, door=app.state.door, open_paths=public_paths())
    app.add_middleware(RequestLog, measures=app.state.context.measures)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(VersionHeader)
    api = APIRouter(prefix=API)
    for part in (datasets, searches, trials, answers, workers, leases, tokens, session):
        api.include_router(part.router)
    app.include_router(api)
    app.include_router(health.metrics_router)
    app.include_router(health.open_router)
    app.mount("/", Pages(), name="dashboard")
    describe(app)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with contextlib.ExitStack() as stack:
        await anyio.to_thread.run_sync(stack.enter_context, opened(app))
        yield


@contextlib.contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Open an application's database: upgrade it, delete what is stale, and sweep it until the end.

    Raises:
        Conflict: another master serves the data folder, or the database is of a newer version.
        Unavailable: the database cannot be reached.
    """
    context: Context = app.state.context
    with contextlib.ExitStack() as stack:
        if context.database.folder is not None:
            stack.enter_context(exclusive(context.database.folder))
        stack.callback(context.database.close)
        child.delete_leavings()
        upgrade(context.database)
        recover(context)
        stack.enter_context(_swept(context))
        yield


@contextlib.contextmanager
def _swept(context: Context) -> Iterator[None]:
    is_over = threading.Event()

    def run() -> None:
        retained_at = -EVERY_S
        while not is_over.wait(context.settings.sweep_interval_s):
            try:
                with timed(context.measures.sweep_seconds):
                    sweep(context)
                if time.monotonic() - retained_at > EVERY_S:
                    retained_at = time.monotonic()
                    retain(context)
            except FoldstepError as error:
                _log.warning("sweeping continues in a moment: %s", error)

    thread = threading.Thread(target=run, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def serve(settings: Settings, host: str | None = None, port: int | None = None, *, answering: str = "") -> None:
    """Serve until SIGTERM or SIGINT; the first line on standard output is the address, the only one for programs.

    Args:
        settings: the master's settings.
        host: address to listen on instead of the settings'.
        port: port to listen on instead of the settings'; 0 for any free one.
        answering: see `create_app`.

    Raises:
        Conflict: the address is in use, or another master serves the data folder.
        InvalidInput: the data folder, or the certificate, cannot be used.
    """
    check_certificate(settings)
    keep_private()
    usable_folder(settings.data_dir)
    take_rights(settings.data_dir)
    set_up(settings.log_format, settings.log_level)
    app = create_app(settings, answering=answering)
    hide(app.state.token)
    host, port = settings.host if host is None else host, settings.port if port is None else port
    address_file = settings.data_dir / ADDRESS_FILE
    with listening(host, port) as listener, opened(app):
        _spare_the_collector()
        try:
            announce = partial(_announce, address_file, address_of(listener, settings), app.state.context)
            server(app, settings, announce).run(sockets=[listener])
            _log.info("ended; its searches resume when it returns")
        finally:
            child.end_all()
            address_file.unlink(missing_ok=True)


def _spare_the_collector() -> None:
    """Let Python's garbage collector look at new objects only, and less often: it took a tenth of a busy master."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _announce(address_file: Path, address: str, context: Context) -> None:
    """Print the address, and write it to the data folder, where the CLI finds it; show people the way to the page."""
    address_file.write_text(f"{address}\n")
    _log.info("foldstep %s serves %s at %s", __version__, address_file.parent.absolute(), address)
    sys.stdout.write(f"{address}\n")
    if sys.stdout.isatty():  # the link is a secret for as long as nobody has used it: it belongs in no log
        sys.stdout.write(f"Page: {address}/#login={make_link(context, '').code}\n")
        sys.stdout.write("The link works once, within an hour; `foldstep page` prints another one.\n")
        sys.stdout.write("Ctrl-C ends the master; its searches resume when it returns.\n")
    sys.stdout.flush()


def main() -> int:
    """Serve with the settings of the environment, and return the exit code."""
    try:
        serve(settings_from_environment())
    except FoldstepError as error:
        sys.stderr.write(f"foldstep: {error.message}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
