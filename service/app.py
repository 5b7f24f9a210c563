"""The composition root: settings in, application out; `python -m foldstep.service.app` serves it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType

import anyio.to_thread
import uvicorn
from fastapi import APIRouter, Depends, FastAPI
from fastapi_offline import FastAPIOffline

from foldstep.service.api import datasets, health, leases, problems, searches, trials, workers
from foldstep.service.api.deps import require_token
from foldstep.service.api.limits import BodyLimit
from foldstep.service.api.version import VersionHeader
from foldstep.service.auth import load_or_make_token
from foldstep.service.contract.errors import Conflict, FoldstepError
from foldstep.service.contract.version import __version__
from foldstep.service.dashboard.pages import Pages
from foldstep.service.db.engine import Database
from foldstep.service.db.lock import exclusive
from foldstep.service.db.migrate import upgrade
from foldstep.service.flow.context import Context, utc_now
from foldstep.service.flow.recover import recover
from foldstep.service.flow.sweep import sweep
from foldstep.service.folder import usable_folder
from foldstep.service.settings import Settings, settings_from_environment

_log = logging.getLogger(__name__)
SHUTDOWN_S = 5
ADDRESS_FILE = "address"


def create_app(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> FastAPI:
    """Build the application; its database is opened and upgraded when it starts.

    Args:
        settings: the master's settings.
        now: the clock; tests pass their own.
    """
    # its /docs loads from this master alone; its /redoc would ask for a logo from elsewhere
    app = FastAPIOffline(title="Foldstep", version=__version__, lifespan=_lifespan, redoc_url=None)
    app.state.context = Context(Database(settings.resolved_database_url), settings, now)
    app.state.token = load_or_make_token(settings)
    problems.install(app)
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(VersionHeader)
    guarded = [Depends(require_token)]
    api = APIRouter(prefix="/api/v1", dependencies=guarded)
    for part in (datasets, searches, trials, workers, leases):
        api.include_router(part.router)
    app.include_router(api)
    app.include_router(health.metrics_router, dependencies=guarded)
    app.include_router(health.open_router)
    app.mount("/", Pages(), name="dashboard")
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    with contextlib.ExitStack() as stack:
        await anyio.to_thread.run_sync(stack.enter_context, opened(app))
        yield


@contextlib.contextmanager
def opened(app: FastAPI) -> Iterator[None]:
    """Open an application's database: upgrade it, delete stale files, and sweep it in the background until the end.

    Raises:
        Conflict: another master serves the data folder, or the database is of a newer version.
        Unavailable: the database cannot be reached.
    """
    context: Context = app.state.context
    with contextlib.ExitStack() as stack:
        if context.database.folder is not None:
            stack.enter_context(exclusive(context.database.folder))
        stack.callback(context.database.close)
        upgrade(context.database)
        recover(context)
        stack.enter_context(_swept(context))
        yield


@contextlib.contextmanager
def _swept(context: Context) -> Iterator[None]:
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(context.settings.sweep_interval_s):
            try:
                sweep(context)
            except FoldstepError as error:
                _log.warning("sweeping continues in a moment: %s", error)

    thread = threading.Thread(target=run, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class _Server(uvicorn.Server):
    """A server that ends with exit code 0 on SIGTERM and SIGINT; uvicorn's own would send itself the signal again.

    Args:
        config: of uvicorn.
        announce: called once it answers and hears signals.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and announce it."""
        await super().startup(sockets)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Finish the running requests, then end; end at once on a second signal."""
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(settings: Settings, host: str | None = None, port: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; the first line on standard output is the address, the only one for programs.

    Args:
        settings: the master's settings.
        host: address to listen on instead of the settings'.
        port: port to listen on instead of the settings'; 0 for any free one.

    Raises:
        Conflict: the address is in use, or another master serves the data folder.
        InvalidInput: the data folder cannot be used.
    """
    usable_folder(settings.data_dir)
    app = create_app(settings)
    # opened here and not by uvicorn, which would make a log entry and an exit code 3 of every refusal
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=SHUTDOWN_S
    )
    host, port = settings.host if host is None else host, settings.port if port is None else port
    address_file = settings.data_dir / ADDRESS_FILE
    with _listening(host, port) as listener, opened(app):
        try:
            announce = partial(_announce, address_file, _address(listener), app.state.token)
            _Server(config, announce).run(sockets=[listener])
        finally:
            address_file.unlink(missing_ok=True)


def _announce(address_file: Path, address: str, token: str) -> None:
    """Print the address, and write it to the data folder, where the CLI finds it; show people the way to the page."""
    address_file.write_text(f"{address}\n")
    sys.stdout.write(f"{address}\n")
    if sys.stdout.isatty():  # the token is a secret: it belongs in no log
        sys.stdout.write(
            f"Page: {address}/#token={token}\nCtrl-C ends the master; its searches resume when it returns.\n"
        )
    sys.stdout.flush()


def _listening(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=2048, family=_family(host))
    except OSError as error:
        raise _not_listening(host, port, error) from error
    # connections inherit it; without it the body of each answer waits 40 ms for the acknowledgement of its head
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _not_listening(host: str, port: int, error: OSError) -> Conflict:
    if error.errno is None or error.errno < 0 or error.errno == errno.EADDRNOTAVAIL:  # below 0: no such name
        return Conflict(f"Cannot listen on {host}: this machine has no such address; choose another --host.")
    reason = os.strerror(error.errno)
    return Conflict(f"Cannot listen on {host}:{port} ({reason}); choose another port: --port 0 takes any free one.")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _address(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
