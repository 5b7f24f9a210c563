"""Processes are killed in the middle of a search: it ends with the same bits, and every trial exactly once."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from foldstep.client import Foldstep
from foldstep.service.contract.states import TrialState
from tests.acceptance.processes import Processes, assert_same, spec, terminate, undisturbed, until

SPEC = spec("crash", 16, depth=[1, 2], epochs=300, patience=100)


@cache
def expected() -> list[dict[str, Any]]:
    found = undisturbed(SPEC)
    assert [(r["trial"], r["state"]) for r in found] == [(n, TrialState.COMPLETED) for n in range(16)]
    return found


def is_under_way(master: Foldstep, search: str) -> bool:
    view = master.search(search)
    return bool(view.counts.get(TrialState.RUNNING)) and any(
        t.epoch > 0 for t in master.leaderboard(search, order_by="number").rows
    )


@pytest.mark.parametrize("n_workers", [2, 3])
def test_the_number_of_workers_changes_no_bit(processes: Processes, n_workers: int) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    for i in range(n_workers):
        processes.worker(master, f"w{i}", members=6)
    assert_same(master, search, expected(), processes)


def test_a_worker_is_killed(processes: Processes) -> None:
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="2")
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", members=12)
    until(lambda: is_under_way(master, search), "a trial in training")
    first.kill()
    processes.worker(master, "second")
    assert_same(master, search, expected(), processes)
    assert max(t.attempts for t in master.all_trials(search)) == 2


def test_a_killed_workers_trials_go_on_from_where_they_were_saved(processes: Processes) -> None:
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="2")
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", 48, "--save-interval", "0.01")
    folder = processes.data_dir / "snapshots" / search
    until(lambda: folder.is_dir() and any(folder.glob("*.safetensors")), "a saved state")
    until(lambda: is_under_way(master, search), "a report after it")
    first.kill()
    processes.worker(master, "second")
    assert_same(master, search, expected(), processes)


def test_a_worker_is_told_to_leave(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", members=48)
    until(lambda: is_under_way(master, search), "a trial in training")
    assert terminate(first) == 0
    view = master.search(search)
    assert not view.counts.get(TrialState.RUNNING), "everything is given back at once, not when the lease expires"
    states = list((processes.data_dir / "snapshots" / search).glob("*.safetensors"))
    assert states, "what was trained is saved"
    processes.worker(master, "second")
    assert_same(master, search, expected(), processes)
    assert {t.attempts for t in master.all_trials(search)} == {1}, "giving back is no failed attempt"


def test_the_master_is_killed(processes: Processes) -> None:
    first, master = processes.master()
    search = master.submit(SPEC).id
    processes.worker(master, members=12)
    until(lambda: is_under_way(master, search), "a trial in training")
    assert_same(processes.replace_master(first, master), search, expected(), processes)


def test_a_damaged_state_is_refused_and_the_trial_starts_over(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", members=48)
    until(lambda: is_under_way(master, search), "a trial in training")
    assert terminate(first) == 0
    for path in (processes.data_dir / "snapshots" / search).glob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(bytes(content))
    processes.worker(master, "second")
    assert_same(master, search, expected(), processes)
