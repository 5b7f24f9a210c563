"""A worker hands up the states of those trials alone that the next stage may continue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldstep.client import Foldstep
from foldstep.service.contract.connection import Connection
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.settings import Settings
from foldstep.worker.agent import Agent
from foldstep.worker.client import MasterClient
from foldstep.worker.settings import WorkerSettings
from tests.service.api.conftest import served

SPEC: dict[str, Any] = {
    "name": "up",
    "method": "coarse_to_fine",
    "data": {"dataset": "wine"},
    "cv": {"folds": 2},
    "metric": "log_loss",
    "parameters": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "width": 8, "batch_size": 32},
    "budget": {"parallel": 1},  # a trial a lease, so that each one hears of those before it
    "stages": [{"trials": 12, "epochs": 1}, {"trials": 3, "epochs": 2, "continue": True}],
}


class Witness(MasterClient):
    """A client that remembers which states it handed up, and fetched."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.put: list[int] = []
        self.got: list[str] = []
        self.idle: Callable[[], None]

    def lease(self, request: LeaseRequest) -> Lease | None:
        found = super().lease(request)
        if found is None:
            self.idle()
        return found

    def put_snapshot(self, lease: Lease, name: str, content: bytes) -> None:
        self.put.append(int(name.removeprefix("trial-").removesuffix(".safetensors")))
        super().put_snapshot(lease, name, content)

    def get_snapshot(self, lease: Lease, name: str) -> bytes:
        self.got.append(name)
        return super().get_snapshot(lease, name)


def test_states_below_the_bar_stay_with_the_worker(tmp_path: Path) -> None:
    with served(Settings(data_dir=tmp_path, token="secret", data_roots=(tmp_path,))) as master:
        client, connection = Foldstep(master.url, "secret"), Connection(master.url, "secret")
        search, witness = client.submit(SPEC).id, Witness(connection)
        leaving = threading.Event()
        witness.idle = leaving.set
        Agent(witness, WorkerSettings(name="w", device="cpu", cache_dir=tmp_path / "cache"), leaving).run()
        trials = client.all_trials(search, order_by="number")
        client.close()
        connection.close()
    assert len(trials) == 15
    scores = [t.score or 0.0 for t in trials[:12]]
    assert len(witness.got) == 1, "one trial of the second stage continues one of the first"
    wanted = [n for n in range(12) if scores[n] <= sorted([*scores[:n], 1e9, 1e9])[1]]
    assert witness.put == wanted, "the best two so far: one to continue, one to spare"
    assert 2 < len(wanted) < 12
