"""Leases end by what a master observes: neither a jump of the clock nor its own absence takes a worker's trials."""

from __future__ import annotations

import pytest

from foldstep.service.contract.errors import LeaseLost
from foldstep.service.contract.report import Report, TrialProgress
from foldstep.service.contract.states import TrialState
from foldstep.service.flow import control, files, rank, transfer, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.recover import recover
from foldstep.service.flow.report import report
from foldstep.service.flow.sweep import sweep
from foldstep.service.flow.watch import Watch
from tests.service.conftest import MakeContext
from tests.service.flow.test_checks import BEFORE, GOOD
from tests.service.scenes import Clock, Hand, checkpoint, new_search, result

HOUR = 3600.0


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_jump_of_the_clock_ends_no_lease_and_keeps_no_dead_one(context: Context, clock: Clock, seconds: float) -> None:
    search = new_search(context, budget={"trials": 1})
    hand = Hand(context)
    held = hand.take()
    clock.jump(seconds)
    clock.advance(59)
    assert sweep(context) == 0
    hand.report(held)
    clock.jump(seconds)
    clock.advance(59)
    assert sweep(context) == 0
    clock.advance(1)
    assert sweep(context) == 1
    assert rank.trial(context, search, 0).state is TrialState.WAITING


def test_master_that_was_away_longer_than_a_lease_takes_the_report(
    context: Context, make_context: MakeContext, clock: Clock
) -> None:
    search = new_search(context, budget={"trials": 2})
    hand = Hand(context)
    held = hand.take(4)
    clock.advance(HOUR)
    hand.context = back = make_context()
    assert sweep(back) == 0
    clock.advance(59)
    assert sweep(back) == 0, "each held lease has a whole time-to-live"
    hand.report(held, result(0), result(1))
    hand.release(held)
    assert view.search(back, search).counts == {TrialState.COMPLETED: 2}
    assert {row.attempts for row in rank.leaderboard(back, search).rows} == {1}


def test_worker_that_never_comes_back_loses_its_trials_after_the_restart(
    context: Context, make_context: MakeContext, clock: Clock
) -> None:
    search = new_search(context, budget={"trials": 1})
    Hand(context).take()
    back = make_context()
    sweep(back)
    clock.advance(60)
    sweep(back)
    assert rank.trial(back, search, 0).state is TrialState.WAITING


def test_time_in_which_a_master_did_not_look_does_not_count(context: Context, clock: Clock) -> None:
    """A master that is stopped, or whose database hangs, cannot tell whether workers are silent."""
    stopped = Context(context.database, context.settings, clock, Watch(clock.monotonic, longest_gap_s=5))
    new_search(stopped, budget={"trials": 1})
    Hand(stopped).take()
    clock.advance(HOUR)
    assert sweep(stopped) == 0
    for _ in range(11):
        clock.advance(4.9)
        assert sweep(stopped) == 0
    clock.advance(4.9)
    assert sweep(stopped) == 1


def test_master_ends_no_lease_that_another_one_has_renewed(
    context: Context, make_context: MakeContext, clock: Clock
) -> None:
    new_search(context, budget={"trials": 1})
    hand, other = Hand(context), make_context()
    held = hand.take()
    for _ in range(5):
        assert sweep(other) == 0
        clock.advance(50)
        hand.report(held)


def test_results_of_an_expired_lease_are_taken_while_nobody_else_has_its_trials(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"trials": 4}, checkpoints={"keep": 10})
    late = Hand(context, "late")
    held = late.take(8)
    clock.advance(61)
    other = Hand(context, "other")
    taken = other.take(8)
    gone = {t.number for t in taken.trials}
    assert len(gone) == 2
    name = checkpoint(3, 0)
    transfer.put_checkpoints(context, held.lease, held.token, {name: b"late, but here", checkpoint(0, 0): b"too late"})
    assert files.names_in(files.checkpoint_folder(context.settings, search)) == {name}
    progress = [TrialProgress(trial=t.number, epoch=1, score=0.1) for t in held.trials]
    reply = late.report(held, *(result(t.number, (0.9, 0.9)) for t in held.trials), progress=progress)
    assert set(reply.stop) == gone, "the worker drops what is another's by now"
    states = {n: rank.trial(context, search, n).state for n in range(4)}
    assert states == {0: TrialState.RUNNING, 1: TrialState.RUNNING, 2: TrialState.COMPLETED, 3: TrialState.COMPLETED}
    late.release(held)
    other.report(taken, *(result(n) for n in gone))
    assert view.search(context, search).counts == {TrialState.COMPLETED: 4}
    assert rank.trial(context, search, 0).score == 0.6


def test_checkpoints_of_late_results_outlive_a_restart(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"trials": 2}, checkpoints={"keep": 10})
    hand = Hand(context)
    held = hand.take(4)
    sent = {n: result(n, checkpoints=True) for n in (0, 1)}
    names = {str(fold.checkpoint) for r in sent.values() for fold in r.folds}
    transfer.put_checkpoints(context, held.lease, held.token, dict.fromkeys(names, b"weights"))
    clock.advance(61)
    sweep(context)
    recover(context)
    hand.report(held, *sent.values())
    assert files.names_in(files.checkpoint_folder(context.settings, search)) == names


def test_zombie_whose_trials_are_another_s_changes_nothing(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"trials": 1})
    zombie, other = Hand(context, "zombie"), Hand(context, "other")
    held = zombie.take()
    clock.advance(61)
    taken = other.take()
    forged = held.model_copy(update={"token": taken.token})
    for mine in (held, forged):
        for act in (
            lambda mine=mine: zombie.report(mine, result(0, (0.9, 0.9))),
            lambda mine=mine: zombie.release(mine, {0: "a.safetensors"}),
            lambda mine=mine: transfer.put_snapshot(context, mine.lease, mine.token, "a.safetensors", b"x"),
        ):
            with pytest.raises(LeaseLost):
                act()
    other.report(taken, result(0))
    assert rank.trial(context, search, 0).score == 0.6


def test_expired_lease_gives_its_trials_back_with_their_snapshots(context: Context, clock: Clock) -> None:
    new_search(context, budget={"trials": 1})
    hand = Hand(context)
    held = hand.take()
    clock.advance(61)
    sweep(context)
    transfer.put_snapshot(context, held.lease, held.token, "state.safetensors", b"state")
    hand.release(held, {0: "state.safetensors"})
    again = hand.take().trials[0]
    assert (again.resume, again.attempt) == (f"lease-{held.lease}_state.safetensors", 1)


def test_expired_lease_of_a_search_that_is_over_is_lost(context: Context, clock: Clock) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take()
    clock.advance(61)
    sweep(context)
    control.stop(context, search)
    with pytest.raises(LeaseLost):
        hand.report(held, result(0))


def test_late_worker_does_not_exceed_what_may_run_at_a_time(context: Context, clock: Clock) -> None:
    new_search(context, budget={"trials": 6, "parallel": 3})
    early, late, other = Hand(context, "early"), Hand(context, "late"), Hand(context, "other")
    first, held = early.take(4), late.take(4)
    assert [t.number for t in held.trials] == [2]
    clock.advance(50)
    early.report(first)
    clock.advance(50)
    early.release(first)
    assert len(other.take(6).trials) == 3
    with pytest.raises(LeaseLost):
        late.report(held, result(2))


def test_checks_whose_lease_ran_out_are_taken_while_nobody_else_checks(context: Context, clock: Clock) -> None:
    search, stopped = new_search(context, checks=BEFORE), new_search(context, checks=BEFORE)
    late, other = Hand(context, "late"), Hand(context, "other")
    leases = {lease.search: lease for lease in (late.take(), late.take())}
    held = leases[search]
    clock.advance(61)
    sweep(context)
    control.stop(context, stopped)
    with pytest.raises(LeaseLost):
        late.report(leases[stopped])
    late.report(held)
    assert other.try_take() is None
    clock.advance(61)
    taken = other.take()
    assert taken.purpose == "check"
    with pytest.raises(LeaseLost):
        late.report(held)
    report(context, taken.lease, taken.token, Report(checks=GOOD))
    assert view.search(context, search).checks == GOOD
