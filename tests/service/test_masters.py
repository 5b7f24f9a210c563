"""Two masters on one Postgres share a search: no trial comes twice, none too many, and one that dies is not missed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.simulated import Load
from foldstep.client import Foldstep
from tests.acceptance.processes import Processes
from tests.service.conftest import PostgresServer

TRIALS, FOLDS = 240, 3


def loaded(masters: list[Foldstep], token: str) -> subprocess.Popen[str]:
    """Start simulated workers that work until nothing is left."""
    load = Load([m.url for m in masters], token, workers=8, members=5 * FOLDS, folds=FOLDS, seconds=None, is_short=True)
    argv = [sys.executable, "-m", "benchmarks.simulated", json.dumps(asdict(load))]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("is_killed", [False, True])
def test_two_masters_share_a_search(processes: Processes, postgres: PostgresServer, is_killed: bool) -> None:
    url = postgres.create(f"masters_{int(is_killed)}", "original")
    environment = {"FOLDSTEP_DATABASE_URL": url, "FOLDSTEP_LEASE_TTL_S": "1", "FOLDSTEP_TOKEN": "secret"}
    first, one = processes.master(**environment)
    _, two = processes.master(**environment)
    spec = {"name": "shared", "method": "random", "data": {"dataset": "wine"}, "cv": {"folds": FOLDS},
            "parameters": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}, "budget": {"trials": TRIALS}}  # fmt: skip
    search = one.submit(spec).id
    load = loaded([one, two], "secret")
    if is_killed:
        while two.search(search).progress.trials_done < TRIALS // 5:
            pass
        first.kill()
    seen = json.loads(load.communicate(timeout=60)[0])["seen"]
    if is_killed:  # its workers died with it, and what they held comes to others
        seen += json.loads(loaded([two], "secret").communicate(timeout=60)[0])["seen"]
    view = two.wait(search)
    assert view.state == "completed", processes.logs()
    assert view.counts == {"completed": TRIALS}
    claimed = [tuple(c) for worker in seen for c in worker["claimed"]]
    assert {number for _, number in claimed} == set(range(TRIALS))
    if not is_killed:
        assert len(claimed) == TRIALS, "none was given out twice"
        assert [e for worker in seen for e in worker["errors"]] == []
