"""Workers, master and Postgres are killed at random for a while: searches end with the undisturbed run's bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos import SPEC, disturb, service

MINUTES = 1.0
"""Of kills; with the undisturbed search before them and the end of the last one after them about two."""


@pytest.mark.timeout(600)
def test_random_kills_change_no_bit_and_fail_no_trial(tmp_path: Path) -> None:
    with service(tmp_path) as made:
        report = disturb(made, {**SPEC, "budget": {"trials": 12}}, MINUTES, seed=2, pause_s=(1.0, 4.0))
        log = made.log("worker")
    assert report.is_well, f"{report.ends} {report.states} {report.differing} {report.kills}\n{log[-5000:]}"
    assert sum(report.kills.values()) >= 5
    assert "Traceback" not in log
