"""Leases and trials against a model that is a dictionary, through random histories."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import invariant, precondition, rule

from foldstep.service.contract.errors import LeaseLost
from foldstep.service.contract.lease import Lease
from foldstep.service.contract.states import TrialState
from foldstep.service.flow import control, rank, view
from tests.service.machine import LEASE_S, MasterMachine, hold
from tests.service.scenes import Hand, result

N_TRIALS = 12
MAX_ATTEMPTS = 3
_OUTCOMES = {"completed": TrialState.COMPLETED, "diverged": TrialState.DIVERGED, "failed": TrialState.FAILED}


class LeaseMachine(MasterMachine):
    """The model: the state and attempts of every begun trial, and who holds it until when."""

    def __init__(self) -> None:
        super().__init__(2, {"budget": {"trials": N_TRIALS}}, max_attempts=MAX_ATTEMPTS, plan_ahead=5)
        self.states: dict[int, TrialState] = {}
        self.attempts: dict[int, int] = {}
        self.held: dict[int, tuple[Lease, Hand, float]] = {}  # lease to itself, its worker, its end
        self.lost: list[tuple[Lease, Hand]] = []
        self.paused = False

    def running(self, lease: Lease) -> list[int]:
        return [t.number for t in lease.trials if self.states[t.number] is TrialState.RUNNING]

    def expire_in_model(self) -> None:
        for key in [k for k, (_, _, end) in self.held.items() if end <= self.now]:
            lease, hand, _ = self.held.pop(key)
            for n in self.running(lease):
                out = self.attempts[n] >= MAX_ATTEMPTS
                self.states[n] = TrialState.FAILED if out else TrialState.WAITING
            self.lost.append((lease, hand))

    @property
    def over(self) -> bool:
        return view.search(self.context, self.search).finished_at is not None

    @rule(who=st.integers(0, 1), members=st.integers(1, 8))
    def take(self, who: int, members: int) -> None:
        self.expire_in_model()
        lease = self.hands[who].try_take(members)
        if lease is None:
            waiting = [n for n in range(N_TRIALS) if self.states.get(n, TrialState.WAITING) is TrialState.WAITING]
            assert self.paused or not waiting
            return
        assert not self.paused
        assert 1 <= len(lease.trials) <= max(1, members // 2)
        for trial in lease.trials:
            assert self.states.get(trial.number, TrialState.WAITING) is TrialState.WAITING
            self.attempts[trial.number] = self.attempts.get(trial.number, 0) + 1
            assert trial.attempt == self.attempts[trial.number]
            self.states[trial.number] = TrialState.RUNNING
        self.held[lease.lease] = (lease, self.hands[who], self.now + LEASE_S)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outcome=st.sampled_from(sorted(_OUTCOMES)))
    def report(self, data: st.DataObject, outcome: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        lease, hand, _ = self.held[key]
        done = [t.number for t in lease.trials][: data.draw(st.integers(0, len(lease.trials)))]
        scores = (0.5, 0.5) if outcome == "completed" else ()
        hand.report(lease, *(result(n, scores, outcome=outcome) for n in done))
        for n in set(done) & set(self.running(lease)):
            self.states[n] = _OUTCOMES[outcome]
        self.held[key] = (lease, hand, self.now + LEASE_S)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease, hand, _ = self.held.pop(data.draw(st.sampled_from(sorted(self.held))))
        hand.release(lease)
        for n in self.running(lease):
            self.states[n] = TrialState.WAITING
            self.attempts[n] -= 1

    @precondition(lambda self: self.lost)
    @rule()
    def report_too_late(self) -> None:
        lease, hand = self.lost[-1]
        with pytest.raises(LeaseLost):
            hand.report(lease, *(result(t.number, (0.9, 0.9)) for t in lease.trials))

    @precondition(lambda self: not self.over)
    @rule()
    def pause_or_resume(self) -> None:
        (control.resume if self.paused else control.pause)(self.context, self.search)
        self.paused = not self.paused

    @invariant()
    def same_states(self) -> None:
        rows = rank.leaderboard(self.context, self.search, order_by="number").rows
        begun = {n: s for n, s in self.states.items() if s is not TrialState.WAITING}
        assert {row.trial: row.state for row in rows} == begun
        counts = view.search(self.context, self.search).counts
        assert sum(counts.values()) <= N_TRIALS


def test_leases_behave_like_the_model(sqlite_original: Path, tmp_path: Path) -> None:
    hold(LeaseMachine, sqlite_original, tmp_path, examples=20, steps=25)
