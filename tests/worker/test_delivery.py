"""What a master refuses costs a trial its result at most, and never the worker; what may pass is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foldstep.service.contract.states import TrialState
from tests.acceptance.processes import results, until
from tests.worker.desk import N_TRIALS, SPEC, Desk, opened


def is_report(path: str) -> bool:
    return path.endswith(":report")


PASSING = [(":report", 408), (":report", 500), ("/checkpoints", 507), ("its last report", 503), ("/leases", 429)]


@pytest.mark.parametrize(("where", "status"), PASSING)
def test_what_may_pass_is_tried_again(desk: Desk, expected: list[dict[str, Any]], status: int, where: str) -> None:
    """As a full disk of the master: nothing is trained twice."""
    refused: list[str] = []

    def rule(_method: str, path: str, body: bytes) -> int | None:
        is_last = is_report(path) and b'"release":{' in body.replace(b" ", b"")
        if (path.endswith(where) or (is_last and where == "its last report")) and len(refused) < 3:
            refused.append(path)
            return status
        return None

    desk.proxy.rule = rule
    search = desk.direct.submit(SPEC).id
    desk.worker()
    desk.ends(search)
    until(lambda: len(refused) == 3, "the third refusal")
    until(lambda: not any(p.name.startswith("lease-") for p in desk.spooled()), "an empty spool")
    assert results(desk.direct, search) == expected
    assert {t.attempts for t in desk.direct.all_trials(search)} == {1}


def test_a_refused_result_fails_its_trial_in_words(desk: Desk, expected: list[dict[str, Any]]) -> None:
    def rule(_method: str, path: str, body: bytes) -> int | None:
        return 422 if is_report(path) and b'"trial":2,"outcome":"completed"' in body.replace(b" ", b"") else None

    desk.proxy.rule = rule
    search = desk.direct.submit(SPEC).id
    desk.worker()
    desk.ends(search)
    trials = desk.direct.all_trials(search, order_by="number")
    assert [t.state for t in trials if t.trial != 2] == [TrialState.COMPLETED] * (N_TRIALS - 1)
    assert trials[2].state is TrialState.FAILED
    assert trials[2].message == "The master refused its result: the test said so"
    assert [r for r in results(desk.direct, search) if r["trial"] != 2] == [r for r in expected if r["trial"] != 2]


def test_a_refused_checkpoint_costs_no_score(desk: Desk, expected: list[dict[str, Any]]) -> None:
    def rule(_method: str, path: str, body: bytes) -> int | None:
        return 413 if path.endswith("/checkpoints") and b"_trial-000003_" in body else None

    desk.proxy.rule = rule
    search = desk.direct.submit(SPEC).id
    desk.worker()
    desk.ends(search)
    assert results(desk.direct, search) == expected
    trials = desk.direct.all_trials(search, order_by="number")
    assert trials[3].message == "Its checkpoint is lost, the master refused it: the test said so"
    names = {p.name.partition("_trial-")[2][:6] for p in (desk.folder / "master" / "checkpoints" / search).iterdir()}
    assert names == {f"{n:06d}" for n in range(N_TRIALS) if n != 3}


def test_reports_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    """Long curves of many trials: each report stays far below what the master takes."""
    spec = {**SPEC, "parameters": {**SPEC["parameters"], "epochs": 1500, "width": 2, "batch_size": 256}}  # fmt: skip
    with opened(tmp_path, max_body_bytes=1 << 20) as desk, pytest.MonkeyPatch.context() as patch:
        patch.setattr("foldstep.worker.heartbeat.MAX_BYTES", 200 << 10)
        search = desk.direct.submit(spec).id
        desk.worker()
        desk.ends(search)
        sizes = [size for _, path, size in desk.proxy.seen if is_report(path)]
    assert 413 not in desk.proxy.statuses
    assert max(sizes) < 500 << 10
    assert sum(sizes) > 500 << 10


def test_a_result_larger_than_the_master_takes_fails_its_trial_alone(tmp_path: Path) -> None:
    parameters = {**SPEC["parameters"], "epochs": [3, 900], "width": 2, "batch_size": 256}
    with opened(tmp_path, max_body_bytes=60 << 10) as desk:
        search = desk.direct.submit(
            {**SPEC, "method": "grid", "budget": {}, "parameters": {**parameters, "lr": 0.01}}
        ).id
        desk.worker()
        desk.ends(search)
        short, long = sorted(desk.direct.all_trials(search), key=lambda t: t.params["epochs"])
    assert short.state is TrialState.COMPLETED
    assert long.state is TrialState.FAILED
    assert long.message is not None
    assert long.message.startswith("The master refused its result: The request is larger than the 61,440 bytes")
