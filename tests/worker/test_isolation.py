"""An error of training fails the trial that has it; what its neighbours come to does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from foldstep.service.contract.states import TrialState
from foldstep.worker.monitor import LeaseMonitor
from foldstep.worker.train.trainer import PackTrainer
from tests.acceptance.processes import results
from tests.worker.desk import SPEC, opened

GREEDY = 4
"""The trial that has no room, in the second epoch that it sees."""
LARGER = {**SPEC, "budget": {"trials": 8}}


def run(folder: Path, spec: dict[str, Any] = LARGER) -> tuple[list[dict[str, Any]], list[Any]]:
    with opened(folder) as desk:
        search = desk.direct.submit(spec).id
        desk.worker()
        desk.ends(search)
        return results(desk.direct, search), desk.direct.all_trials(search, order_by="number")


@pytest.mark.parametrize("error", [RuntimeError("can't allocate memory\nand more"), MemoryError(), KeyError("k")])
def test_one_trial_without_room_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    expected, _ = run(tmp_path / "undisturbed")
    right, sizes = PackTrainer.train_epoch, []

    def without_room(self: PackTrainer, number: int) -> Tensor:
        losses = right(self, number)  # fails when the weights have changed already
        if number == 2 and GREEDY in {m.trial for m in self.members}:
            sizes.append(len({m.trial for m in self.members}))
            raise error
        return losses

    monkeypatch.setattr(PackTrainer, "train_epoch", without_room)
    found, trials = run(tmp_path / "disturbed")
    assert [r for r in found if r["trial"] != GREEDY] == [r for r in expected if r["trial"] != GREEDY]
    assert trials[GREEDY].state is TrialState.FAILED
    words = {RuntimeError: "RuntimeError: can't allocate memory", MemoryError: "MemoryError: no message"}
    assert trials[GREEDY].message == words.get(type(error), "KeyError: 'k'")
    assert {t.attempts for t in trials} == {1}
    assert sizes[0] > 1
    assert sizes[-1] == 1, "at last it was alone"


def test_a_reporter_that_fails_leaves_no_search_hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files cannot be made, for a reason that nobody thought of: the trial says so, the others go on."""
    right = LeaseMonitor.member_done

    def broken(self: LeaseMonitor, member: Any, weights: Any) -> None:
        right(self, member, None if member.trial == GREEDY else weights)

    monkeypatch.setattr(LeaseMonitor, "member_done", broken)
    _, trials = run(tmp_path)
    assert [t.state for t in trials if t.trial != GREEDY] == [TrialState.COMPLETED] * 7
    assert trials[GREEDY].state is TrialState.FAILED
    assert trials[GREEDY].message == "Its files could not be made, AssertionError: no message."
