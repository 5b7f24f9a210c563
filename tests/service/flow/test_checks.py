"""The gate: a search is checked by one worker before its first trial, whatever happens to that worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import invariant, precondition, rule
from pydantic import ValidationError

from foldstep.service.contract.checks import CheckReport, CheckResult
from foldstep.service.contract.errors import LeaseLost
from foldstep.service.contract.lease import Lease
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.report import Report, ReportReply
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.flow import control, view
from foldstep.service.flow.blame import EVIDENT
from foldstep.service.flow.context import Context
from foldstep.service.flow.report import report
from foldstep.service.flow.sweep import sweep
from foldstep.service.planner.candidates import N_CANDIDATES, candidates
from foldstep.service.planner.random import random_params
from tests.service.conftest import MakeContext
from tests.service.machine import LEASE_S, MasterMachine, hold
from tests.service.scenes import Clock, Hand, new_search, result, spec

GOOD = CheckReport(results=[CheckResult(name="overfit", outcome="passed", sentence="Fine.")], duration_s=0.5)
BAD = CheckReport(
    results=[*GOOD.results, CheckResult(name="labels", outcome="failed", sentence="No.", look_at="Look at the data.")],
    duration_s=0.5,
)
BEFORE = {"before": True}


def told(hand: Hand, held: Lease, checks: CheckReport) -> ReportReply:
    return report(hand.context, held.lease, held.token, Report(checks=checks))


def test_checks_come_first_and_then_trials_flow(context: Context) -> None:
    search = new_search(context, checks=BEFORE, method="random", seed=3)
    hand = Hand(context)
    held = hand.take()
    assert (held.purpose, held.trials) == ("check", [])
    parsed = parse_spec(spec(checks=BEFORE, seed=3))
    assert held.candidates == candidates(parsed)
    assert held.candidates[1] == {"seed": 3, **random_params(parsed.space, 3, 1)}, "the trials of a random search"
    assert len(held.candidates) == N_CANDIDATES
    assert view.search(context, search).checks is None
    told(hand, held, GOOD)
    hand.release(held)
    assert hand.take().purpose == "train"
    found = view.search(context, search)
    assert found.checks == GOOD
    assert found.state is SearchState.RUNNING
    hand.work_all()


def test_the_report_opens_the_gate_even_before_the_lease_ends(context: Context) -> None:
    new_search(context, checks=BEFORE)
    hand, other = Hand(context), Hand(context, "other")
    told(hand, hand.take(), GOOD)
    assert other.take().purpose == "train"


def test_a_search_without_checks_is_as_ever(context: Context) -> None:
    search = new_search(context)
    held = Hand(context).take()
    assert (held.purpose, held.candidates) == ("train", [])
    told(Hand(context), held, BAD)  # nobody asked for it
    assert view.search(context, search).checks is None
    assert view.search(context, search).state is SearchState.RUNNING


def test_a_failed_check_ends_the_search_and_says_why(context: Context) -> None:
    search = new_search(context, checks=BEFORE)
    hand = Hand(context)
    held = hand.take()
    told(hand, held, BAD)
    told(hand, held, BAD)  # its first answer was lost
    hand.release(held)
    found = view.search(context, search)
    assert found.state is SearchState.FAILED
    assert found.checks == BAD
    assert found.counts == {}
    (why,) = found.notes
    assert "labels: No. Look at the data." in why
    assert "--force" in why
    assert "overfit" not in why
    assert hand.try_take() is None


def test_forced_it_goes_on_and_says_so(context: Context) -> None:
    search = new_search(context, checks={"before": True, "force": True})
    hand = Hand(context)
    told(hand, hand.take(), BAD)
    assert hand.take().purpose == "train"
    found = view.search(context, search)
    assert found.state is SearchState.RUNNING
    assert found.notes == ["The search continues in spite of failed checks: labels: No. Look at the data."]


def test_one_worker_checks_and_the_others_get_other_work(context: Context, clock: Clock) -> None:
    checked = new_search(context, checks=BEFORE)
    clock.advance(1)
    hand, other = Hand(context), Hand(context, "other")
    held = hand.take()
    assert held.search == checked
    assert other.try_take() is None
    plain = new_search(context)
    assert other.take().search == plain


def test_a_crashed_checker_is_replaced_and_its_late_report_changes_nothing(context: Context, clock: Clock) -> None:
    search = new_search(context, checks=BEFORE)
    crashed, other = Hand(context), Hand(context, "other")
    lost = crashed.take()
    clock.advance(61)
    held = other.take()
    assert (held.purpose, held.candidates) == ("check", lost.candidates)
    with pytest.raises(LeaseLost):
        told(crashed, lost, BAD)
    assert view.search(context, search).state is SearchState.RUNNING
    told(other, held, GOOD)
    assert other.take().purpose == "train"


def test_a_heartbeat_keeps_the_lease_and_a_release_hands_it_on(context: Context, clock: Clock) -> None:
    new_search(context, checks=BEFORE)
    hand, other = Hand(context), Hand(context, "other")
    held = hand.take()
    for _ in range(3):
        clock.advance(50)
        hand.report(held)
    assert other.try_take() is None
    hand.release(held)
    assert other.take().purpose == "check"


def test_checks_that_kill_every_worker_end_the_search(make_context: MakeContext, clock: Clock) -> None:
    context = make_context(max_attempts=2)
    search = new_search(context, checks=BEFORE)
    hand = Hand(context)
    for _ in range(2 * EVIDENT):  # a worker that falls silent may have been killed from outside
        assert hand.take().purpose == "check"
        clock.advance(61)
    assert hand.try_take() is None
    found = view.search(context, search)
    assert found.state is SearchState.FAILED
    assert "no attempt to check it came to its end; the last time its worker stopped reporting" in found.notes[-1]


def test_a_master_that_starts_again_goes_on_where_the_gate_stood(
    context: Context, make_context: MakeContext, clock: Clock
) -> None:
    search = new_search(context, checks=BEFORE)
    hand = Hand(context)
    held = hand.take()
    again = make_context()
    hand.context = again
    assert hand.try_take() is None
    told(hand, held, GOOD)
    clock.advance(1)
    assert view.search(make_context(), search).checks == GOOD
    assert hand.take().purpose == "train"


def test_paused_stopped_and_deleted_while_it_is_checked(context: Context) -> None:
    paused, stopped, deleted = (new_search(context, checks=BEFORE) for _ in range(3))
    hand = Hand(context)
    held = {lease.search: lease for lease in (hand.take() for _ in range(3))}
    control.pause(context, paused)
    control.stop(context, stopped)
    control.delete(context, deleted)
    told(hand, held[paused], GOOD)
    told(hand, held[stopped], BAD)
    with pytest.raises(LeaseLost):
        told(hand, held[deleted], GOOD)
    assert hand.try_take() is None
    assert view.search(context, stopped).state is SearchState.STOPPED
    control.resume(context, paused)
    assert hand.take().purpose == "train"


def test_many_workers_at_once_get_one_lease_to_check(context: Context) -> None:
    new_search(context, checks=BEFORE)
    hands = [Hand(context, str(i)) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = [lease for lease in pool.map(Hand.try_take, hands) if lease is not None]
    assert [lease.purpose for lease in taken] == ["check"]


def test_a_lease_holds_what_its_purpose_needs(context: Context) -> None:
    new_search(context)
    held = Hand(context).take().model_dump()
    for change in ({"trials": []}, {"purpose": "check"}, {"candidates": [{"lr": 1.0}]}):
        with pytest.raises(ValidationError, match="holds"):
            Lease.model_validate({**held, **change})


class GateMachine(MasterMachine):
    """The model: whether the search is checked, and who holds the lease to check it until when."""

    def __init__(self) -> None:
        super().__init__(3, {"checks": BEFORE, "budget": {"trials": 1000}}, max_attempts=1000)
        self.checked = False
        self.holder: tuple[Hand, Lease, float] | None = None
        self.lost: list[tuple[Hand, Lease]] = []

    def expire_in_model(self) -> None:
        if self.holder is not None and self.holder[2] <= self.now:
            self.lost.append(self.holder[:2])
            self.holder = None

    @rule(who=st.integers(0, 2))
    def take(self, who: int) -> None:
        self.expire_in_model()
        taken = self.hands[who].try_take(2)
        if self.checked:
            assert taken is not None
            assert taken.purpose == "train"
            self.hands[who].report(taken, *(result(t.number) for t in taken.trials))
            self.hands[who].release(taken)
        elif self.holder is not None:
            assert taken is None
        else:
            assert taken is not None
            assert taken.purpose == "check"
            self.holder = (self.hands[who], taken, self.now + LEASE_S)

    @precondition(lambda self: self.holder)
    @rule(is_done=st.booleans())
    def report(self, is_done: bool) -> None:
        assert self.holder is not None
        hand, lease, _ = self.holder
        told(hand, lease, GOOD) if is_done else hand.report(lease)
        self.checked = self.checked or is_done
        self.holder = (hand, lease, self.now + LEASE_S)

    @precondition(lambda self: self.holder)
    @rule()
    def release(self) -> None:
        assert self.holder is not None
        self.holder[0].release(self.holder[1])
        self.holder = None

    @rule()
    def restart(self) -> None:
        self.context.database.close()
        self.context = self.new_context()
        for hand in self.hands:
            hand.context = self.context
        sweep(self.context)  # a master that starts gives each lease its whole time again
        if self.holder is not None:
            hand, lease, _ = self.holder
            self.holder = (hand, lease, self.now + LEASE_S)

    @precondition(lambda self: self.lost)
    @rule()
    def report_too_late(self) -> None:
        """A late report is taken while nobody else checks: the same worker then holds the lease again."""
        hand, lease = self.lost[-1]
        if self.checked or self.holder is not None:
            with pytest.raises(LeaseLost):
                told(hand, lease, BAD)
            return
        hand.report(lease)
        self.lost.pop()
        self.holder = (hand, lease, self.now + LEASE_S)

    @invariant()
    def no_trial_before_the_checks(self) -> None:
        found = view.search(self.context, self.search)
        assert (found.checks == GOOD) is self.checked
        assert self.checked or set(found.counts) <= {TrialState.WAITING}
        assert found.state in (SearchState.QUEUED, SearchState.RUNNING)


def test_the_gate_behaves_like_the_model(sqlite_original: Path, tmp_path: Path) -> None:
    hold(GateMachine, sqlite_original, tmp_path, examples=15, steps=20)
