"""Stages that continue the one before, with real workers: one, two, killed, states lost; always the same bits."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from functools import cache
from subprocess import Popen
from typing import Any

import pytest

from foldstep.client import Foldstep
from foldstep.service.contract.states import TrialState
from tests.acceptance.processes import Processes, assert_same, foldstep, terminate, undisturbed, until

EPOCHS = 400
"""Of the second stage: enough to be seen in training."""
SPEC: dict[str, Any] = {
    "name": "continue",
    "method": "coarse_to_fine",
    "seed": 5,
    "data": {"dataset": "digits"},
    "cv": {"folds": 3},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True},
        "width": {"low": 8, "high": 48, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "optimizer": ["adam", "nesterov"],
        "schedule": "cosine",
        "batch_size": [32, 64],
        "patience": 100,
    },
    "stages": [{"trials": 8, "epochs": 2}, {"trials": 6, "epochs": EPOCHS, "continue": True}],
}
CONTINUED = (8, 9)


@cache
def expected() -> list[dict[str, Any]]:
    return undisturbed(SPEC)


def continues(master: Foldstep, search: str) -> bool:
    """Whether a trial goes on in the second stage."""
    return any(
        t.state is TrialState.RUNNING and t.continues is not None and t.epoch > 2
        for t in master.leaderboard(search, order_by="number", limit=100).rows
    )


def test_continued_trials_begin_with_the_curves_of_those_before(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    for i in range(2):
        processes.worker(master, f"w{i}", members=6)
    assert_same(master, search, expected(), processes)
    assert "starts over" not in processes.logs()
    seen = {r["trial"]: r for r in expected()}
    rows = {t.trial: t for t in master.all_trials(search)}
    assert [n for n, t in rows.items() if t.continues is not None] == [*CONTINUED]
    for number in CONTINUED:
        before = rows[number].continues
        assert before is not None
        assert {**rows[before].params, "epochs": EPOCHS} == rows[number].params
        for fold, curve in seen[number]["curves"].items():
            assert curve["score"][:2] == seen[before]["curves"][fold]["score"]
            assert len(curve["score"]) > 2
    for number in (8, 11):
        words = ("rerun", search, str(number), "--dir", str(processes.data_dir), "--url", master.url, "--json")
        again = foldstep(*words, cwd=processes.folder)
        assert again.returncode == 0, again.stdout + again.stderr
        assert json.loads(again.stdout)["same"]
    shown = foldstep("show", search, "8", "--url", master.url, "--dir", str(processes.data_dir), cwd=processes.folder)
    assert f"trial {rows[8].continues}" in shown.stdout


@pytest.mark.parametrize("end", [lambda worker: worker.send_signal(signal.SIGKILL), terminate], ids=["killed", "told"])
def test_a_worker_is_lost_while_trials_are_continued(processes: Processes, end: Callable[[Popen[str]], Any]) -> None:
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="2")
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", 48, "--save-interval", "0.01")
    until(lambda: continues(master, search), "a continued trial in training")
    end(first)
    processes.worker(master, "second")
    assert_same(master, search, expected(), processes)


def test_states_that_are_damaged_or_lost_are_made_again(processes: Processes) -> None:
    _, master = processes.master()
    search = master.submit(SPEC).id
    first = processes.worker(master, "first", 9)
    until(lambda: continues(master, search), "a continued trial in training")
    assert terminate(first) == 0
    for i, path in enumerate(sorted((processes.data_dir / "snapshots" / search).glob("*.safetensors"))):
        if i % 2:
            path.unlink()
        else:
            content = bytearray(path.read_bytes())
            content[-5] ^= 1
            path.write_bytes(bytes(content))
    processes.worker(master, "second")
    assert_same(master, search, expected(), processes)
    assert "starts over" in processes.logs()
