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
from foldstep.service.flow.blame import EVIDENT
from tests.service.machine import LEASE_S, MasterMachine, hold
from tests.service.scenes import Hand, result

N_TRIALS = 12
MAX_ATTEMPTS = 1
_OUTCOMES = {"completed": TrialState.COMPLETED, "diverged": TrialState.DIVERGED, "failed": TrialState.FAILED}


class LeaseMachine(MasterMachine):
    """The model: the state, attempts and suspicion of every begun trial, and who holds it until when."""

    def __init__(self) -> None:
        super().__init__(2, {"budget": {"trials": N_TRIALS}}, max_attempts=MAX_ATTEMPTS, plan_ahead=5)
        self.states: dict[int, TrialState] = {}
        self.attempts: dict[int, int] = {}
        self.caps: dict[int, int] = {}  # of suspects: how many may share a lease
        self.blame: dict[int, int] = {}
        self.lost_under: dict[int, int] = {}  # waiting trial to the lease that it waits after
        self.under: dict[int, int] = {}  # trial to its last lease
        self.held: dict[int, tuple[Lease, Hand, float]] = {}  # lease to itself, its worker, its end
        self.lost: list[tuple[Lease, Hand]] = []
        self.paused = False

    def running(self, lease: Lease) -> list[int]:
        return [n for n, under in self.under.items() if under == lease.lease and self.states[n] is TrialState.RUNNING]

    def expire_in_model(self) -> None:
        for key in [k for k, (_, _, end) in self.held.items() if end <= self.now]:
            lease, hand, _ = self.held.pop(key)
            running = self.running(lease)
            for n in running:
                self.blame[n] = self.blame.get(n, 0) + (len(running) == 1)
                out = self.blame[n] >= EVIDENT * MAX_ATTEMPTS
                self.states[n] = TrialState.FAILED if out else TrialState.WAITING
                self.caps[n], self.lost_under[n] = (len(running) + 1) // 2, key
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
        caps = {self.caps.get(t.number, 0) for t in lease.trials}
        assert len(caps) == 1, "suspects share a lease with their like alone"
        assert 1 <= len(lease.trials) <= min(max(1, members // 2), *(cap for cap in caps if cap), N_TRIALS)
        for trial in lease.trials:
            assert self.states.get(trial.number, TrialState.WAITING) is TrialState.WAITING
            self.attempts[trial.number] = self.attempts.get(trial.number, 0) + 1
            assert trial.attempt == self.attempts[trial.number]
            self.states[trial.number] = TrialState.RUNNING
            self.under[trial.number] = lease.lease
            self.lost_under.pop(trial.number, None)
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
            self.under.pop(n)

    @precondition(lambda self: self.lost)
    @rule()
    def report_too_late(self) -> None:
        lease, hand = self.lost.pop()
        left = [n for n, under in self.lost_under.items() if under == lease.lease]
        results = [result(t.number, (0.9, 0.9)) for t in lease.trials]
        if not left or self.over:
            with pytest.raises(LeaseLost):
                hand.report(lease, *results)
            return
        hand.report(lease, *results)
        for n in left:
            self.states[n] = TrialState.COMPLETED
            self.lost_under.pop(n)
        self.held[lease.lease] = (lease, hand, self.now + LEASE_S)

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
