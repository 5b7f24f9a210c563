"""Processes are killed in the middle of a search: it ends with the same bits, and every trial exactly once."""

from __future__ import annotations

import signal
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from foldstep.client import Foldstep
from service.contract.states import TrialState
from tests.acceptance.processes import Processes, results, terminate, until

SPEC: dict[str, Any] = {
    "name": "crash",
    "method": "random",
    "seed": 5,
    "data": {"dataset": "digits"},
    "cv": {"folds": 3},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "width": {"low": 8, "high": 48, "log": True},
        "depth": [1, 2],
        "dropout": {"low": 0.0, "high": 0.5},
        "optimizer": ["adam", "nesterov"],
        "batch_size": [32, 64],
        "epochs": 8,
        "patience": 3,
    },
    "budget": {"trials": 16},
}


@cache
def undisturbed() -> list[dict[str, Any]]:
    """What the search gives with one worker that nobody disturbs."""
    with TemporaryDirectory() as folder:
        processes = Processes(Path(folder))
        try:
            _, master = processes.master()
            processes.worker(master)
            search = master.submit(SPEC)
            assert master.wait(search.id).state == "completed", processes.logs()
            return results(master, search.id)
        finally:
            processes.end()


def is_under_way(master: Foldstep, search: str) -> bool:
    view = master.search(search)
    return bool(view.counts.get(TrialState.RUNNING)) and any(
        t.epoch > 0 for t in master.leaderboard(search, order_by="number").rows
    )


def assert_same_and_complete(master: Foldstep, search: str, processes: Processes) -> None:
    view = master.wait(search)
    assert view.state == "completed", processes.logs()
    assert view.counts[TrialState.COMPLETED] == 16
    found = results(master, search)
    assert [r["trial"] for r in found] == list(range(16))
    assert found == undisturbed()


@pytest.mark.parametrize("n_workers", [2, 3])
def test_the_number_of_workers_changes_no_bit(processes: Processes, n_workers: int) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    for i in range(n_workers):
        processes.worker(master, f"w{i}", members=6)
    assert_same_and_complete(master, search, processes)


def test_a_worker_is_killed(processes: Processes) -> None:
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="2")
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", members=12)
    until(lambda: is_under_way(master, search), "a trial in training")
    first.send_signal(signal.SIGKILL)
    processes.worker(master, "second")
    assert_same_and_complete(master, search, processes)
    assert max(t.attempts for t in master.all_trials(search)) == 2


def test_a_killed_workers_trials_go_on_from_where_they_were_saved(processes: Processes) -> None:
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="2")
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", 48, "--save-interval", "0.01")
    folder = processes.data_dir / "states" / search
    until(lambda: folder.is_dir() and any(folder.glob("*.safetensors")), "a saved state")
    until(lambda: is_under_way(master, search), "a report after it")
    first.send_signal(signal.SIGKILL)
    processes.worker(master, "second")
    assert_same_and_complete(master, search, processes)


def test_a_worker_is_told_to_leave(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", members=48)
    until(lambda: is_under_way(master, search), "a trial in training")
    assert terminate(first) == 0
    view = master.search(search)
    assert not view.counts.get(TrialState.RUNNING), "everything is given back at once, not when the lease expires"
    states = list((processes.data_dir / "states" / search).glob("*.safetensors"))
    assert states, "what was trained is saved"
    processes.worker(master, "second")
    assert_same_and_complete(master, search, processes)
    assert {t.attempts for t in master.all_trials(search)} == {1}, "giving back is no failed attempt"


def test_the_master_is_killed(processes: Processes) -> None:
    first, master = processes.master()
    port = int(master.url.rpartition(":")[2])
    search = master.submit(SPEC).id
    processes.worker(master, members=12)
    until(lambda: is_under_way(master, search), "a trial in training")
    first.send_signal(signal.SIGKILL)
    first.wait()
    _, again = processes.master(port)
    assert_same_and_complete(again, search, processes)


def test_a_damaged_state_is_refused_and_the_trial_starts_over(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", members=48)
    until(lambda: is_under_way(master, search), "a trial in training")
    assert terminate(first) == 0
    for path in (processes.data_dir / "states" / search).glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(bytes(content))
    processes.worker(master, "second")
    assert_same_and_complete(master, search, processes)
