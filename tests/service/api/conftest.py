"""A real master: uvicorn in a thread, reached over a socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from foldstep.service.app import create_app
from foldstep.service.contract.dataset import Dataset
from foldstep.service.flow.watch import Watch
from foldstep.service.settings import Settings
from tests.service.scenes import Clock

AUTHORIZED = {"Authorization": "Bearer secret"}


class Master:
    """A running application and a client for it."""

    def __init__(self, app: FastAPI, url: str) -> None:
        self.app = app
        self.url = url
        self.http = httpx.Client(base_url=url, headers=AUTHORIZED, timeout=30, trust_env=False)

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.http.get(f"/api/v1{path}", **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self.http.post(f"/api/v1{path}", **arguments)


@contextmanager
def served(settings: Settings, clock: Clock | None = None) -> Iterator[Master]:
    own = {} if clock is None else {"now": clock, "watch": Watch(clock.monotonic)}
    app = create_app(settings, **own)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the master did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        master = Master(app, f"http://127.0.0.1:{port}")
        with master.http:
            yield master
    finally:
        server.should_exit = True
        thread.join()


Serve = Callable[..., Master]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve with changed settings; SQLite in the test's own folder unless they say otherwise."""
    with ExitStack() as stack:

        def start(clock: Clock | None = None, **changes: Any) -> Master:
            plain = {"data_dir": tmp_path, "token": "secret", "data_roots": (tmp_path,), "sweep_interval_s": 0.05}
            return stack.enter_context(served(Settings(**{**plain, **changes}), clock))

        yield start


@pytest.fixture
def master(serve: Serve) -> Master:
    return serve()


@pytest.fixture(scope="session")
def table() -> str:
    """A small table with two classes."""
    return "a,b,kind\n" + "".join(f"{i},{i % 7},{'yes' if i % 3 else 'no'}\n" for i in range(60))


def registered(answer: httpx.Response) -> Dataset:
    assert answer.status_code == 201, answer.text
    return Dataset.model_validate(answer.json())
