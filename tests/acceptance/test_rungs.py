"""Rungs with real workers: killed while trials wait or train, the search ends with the same verdicts and bits."""

from __future__ import annotations

from functools import cache
from typing import Any

from foldstep.client import Foldstep
from foldstep.service.contract.states import TrialState
from tests.acceptance.processes import Processes, assert_same, foldstep, spec, terminate, undisturbed, until

SPEC = spec("rungs", 12, epochs=9)
RUNGS = {**SPEC, "early_stop": {"rungs": "asha", "race_folds": True}}
ENDED = (TrialState.COMPLETED, TrialState.PRUNED)


@cache
def straight() -> dict[int, dict[str, Any]]:
    """Every trial trained straight through, by number."""
    return {r["trial"]: r for r in undisturbed(SPEC)}


@cache
def expected() -> list[dict[str, Any]]:
    """The search with rungs."""
    found = undisturbed(RUNGS)
    assert len(found) == 12
    return found


def has_paused(master: Foldstep, search: str) -> bool:
    counts = master.search(search).counts
    return bool(counts.get(TrialState.PAUSED) or counts.get(TrialState.PRUNED))


def test_promoted_trials_have_the_bits_of_trials_that_never_waited() -> None:
    seen = {state: [r for r in expected() if r["state"] is state] for state in ENDED}
    assert seen[TrialState.COMPLETED]
    assert seen[TrialState.PRUNED]
    for row in seen[TrialState.COMPLETED]:
        assert row == straight()[row["trial"]]
    for row in seen[TrialState.PRUNED]:
        whole = straight()[row["trial"]]
        for fold, curve in row["curves"].items():
            n_epochs = len(curve["score"])
            assert 1 <= n_epochs <= 9
            assert curve["score"] == whole["curves"][fold]["score"][:n_epochs]


def test_the_number_of_workers_changes_no_verdict(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(RUNGS).id
    for i in range(3):
        processes.worker(master, f"w{i}", members=9)
    assert_same(master, search, expected(), processes)


def test_a_worker_is_killed_while_trials_wait_at_a_rung(processes: Processes) -> None:
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="2")
    search = master.submit(RUNGS).id
    first = processes.worker(master, "first", 9)
    until(lambda: has_paused(master, search), "a trial at a rung")
    first.kill()
    assert list((processes.data_dir / "snapshots" / search).glob("*.safetensors")), "what came to a rung is saved"
    processes.worker(master, "second", 9)
    assert_same(master, search, expected(), processes)


def test_a_worker_leaves_while_trials_wait_at_a_rung(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(RUNGS).id
    first = processes.worker(master, "first", 9)
    until(lambda: has_paused(master, search), "a trial at a rung")
    assert terminate(first) == 0
    processes.worker(master, "second")
    assert_same(master, search, expected(), processes)
    assert {t.attempts for t in master.all_trials(search)} == {1}


def test_the_master_is_killed_while_trials_wait_at_a_rung(processes: Processes) -> None:
    first, master = processes.master()
    search = master.submit(RUNGS).id
    processes.worker(master, members=9)
    until(lambda: has_paused(master, search), "a trial at a rung")
    assert_same(processes.replace_master(first, master), search, expected(), processes)


def test_a_trials_time_is_over_after_the_epoch_that_it_trains(processes: Processes) -> None:
    _, master = processes.master()
    processes.worker(master)
    search = master.submit({**SPEC, "budget": {"trials": 3, "trial_time": "1ms"}}).id
    assert master.wait(search).counts == {TrialState.PRUNED: 3}
    again = foldstep("rerun", search, "1", "--dir", str(processes.data_dir), "--url", master.url, cwd=processes.folder)
    assert again.returncode == 0, f"a pruned trial is trained again as far as it came: {again.stdout}{again.stderr}"
    for trial in master.all_trials(search):
        assert (trial.epoch, trial.rank is not None, len(trial.checkpoints)) == (1, True, 3)
        assert (
            trial.message
            == "The time was over before its last epoch (budget.trial_time, or budget.time of the search)."
        )
