"""A master, a proxy before it that does what a test says, and workers that know the proxy only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from foldstep.client import Foldstep
from foldstep.service.contract.connection import Connection
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.settings import Settings
from foldstep.worker.agent import Agent
from foldstep.worker.client import MasterClient
from foldstep.worker.settings import WorkerSettings
from tests.service.api.conftest import served
from tests.worker.proxy import Proxy, before

N_TRIALS = 6
SPEC: dict[str, Any] = {
    "name": "delivered", "method": "random", "seed": 3, "data": {"dataset": "wine"}, "cv": {"folds": 2},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "width": 8, "batch_size": 64, "epochs": 3},
    "budget": {"trials": N_TRIALS},
}  # fmt: skip


class Desk:
    """A master, a proxy before it, and workers in threads that know the proxy only."""

    def __init__(self, folder: Path, stack: ExitStack, **changes: Any) -> None:
        settings = Settings(data_dir=folder / "master", token="secret", report_interval_s=0.05, **changes)
        self.folder, self._stack = folder, stack
        self.direct = Foldstep(stack.enter_context(served(settings)).url, "secret")
        stack.callback(self.direct.close)
        self.proxy: Proxy = stack.enter_context(before(self.direct.url))
        self.ended_with: Exception | None = None
        self.settings = WorkerSettings(name="w", device="cpu", cache_dir=folder / "cache", patience_s=60)

    def worker(self, **changes: Any) -> threading.Event:
        """Start a worker; setting the event that is returned ends it."""
        leaving, settings = threading.Event(), replace(self.settings, **changes)
        connection = Connection(self.proxy.url, "secret", patience_s=settings.patience_s, leaving=leaving,
                                passing={408, 429, 500, 502, 503, 504, 507})  # fmt: skip
        self.agent = Agent(MasterClient(connection), settings, leaving)
        thread = self._thread = threading.Thread(target=self._run, args=(self.agent,))
        thread.start()
        self._stack.callback(connection.close)
        self._stack.callback(thread.join)
        self._stack.callback(leaving.set)
        return leaving

    def _run(self, agent: Agent) -> None:
        try:
            agent.run()
        except Exception as error:
            self.ended_with = error

    @property
    def is_working(self) -> bool:
        return self._thread.is_alive()

    def ends(self, search: str) -> SearchView:
        view = self.direct.wait(search, poll_s=0.05)
        assert view.state == "completed"
        return view

    def spooled(self) -> list[Path]:
        return sorted((self.folder / "cache" / "spool").rglob("*"))


@contextmanager
def opened(folder: Path, **changes: Any) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(folder, stack, **changes)
