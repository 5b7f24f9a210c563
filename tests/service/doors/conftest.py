"""A master as a process, for strangers to attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.processes import Processes


class House:
    """A running master; `http` holds its token.

    Attributes:
        url: its address.
        token: its own token.
        data_dir: its data folder.
        http: a client that shows the token.
        stranger: a client that shows nothing.
    """

    def __init__(self, processes: Processes, **environment: str) -> None:
        self.processes = processes
        self._clients: list[httpx.Client] = []
        _, master = processes.master(**environment)
        self.url, self.data_dir = master.url, processes.data_dir
        self.token = environment.get("FOLDSTEP_TOKEN") or (self.data_dir / "token").read_text().strip()
        self.http = self.client(self.token)
        self.stranger = self.client()

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.processes.__exit__()


Build = Callable[..., House]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Start masters with settings of their own."""
    started: list[House] = []

    def start(folder: Path | None = None, **environment: str) -> House:
        processes = Processes(folder or tmp_path_factory.mktemp("house"))
        started.append(House(processes, **environment))
        return started[-1]

    yield start
    for house in started:
        house.close()


@pytest.fixture(scope="module")
def house(build: Build) -> House:
    """A master with the settings that it has by itself."""
    return build()
