"""Leases: expiry, fencing, giving back, and many workers at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from foldstep.service.contract.errors import InvalidInput, LeaseLost, NotFound
from foldstep.service.contract.report import Report, TrialProgress, TrialResult
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.db import scores
from foldstep.service.flow import control, rank, transfer, view
from foldstep.service.flow.blame import EVIDENT
from foldstep.service.flow.context import Context
from foldstep.service.flow.report import report
from foldstep.service.flow.sweep import sweep
from tests.service.conftest import MakeContext
from tests.service.scenes import Clock, Hand, checkpoint, new_search, result


def test_report_renews_the_lease(context: Context, clock: Clock) -> None:
    new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    for _ in range(3):
        clock.advance(50)
        assert (hand.report(held).expires_at - clock()).total_seconds() == 60
        assert sweep(context) == 0


def test_expired_trials_go_to_another_worker_with_the_attempt_counted(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"trials": 2})
    silent = Hand(context, "silent")
    lost = silent.take(4)
    clock.advance(61)
    other = Hand(context, "other")
    taken = [other.take(4), other.take(4)]
    assert [t.number for held in taken for t in held.trials] == [t.number for t in lost.trials]
    assert [t.attempt for held in taken for t in held.trials] == [2, 2]
    with pytest.raises(LeaseLost):
        silent.report(lost, result(0, (0.9, 0.9)))
    with pytest.raises(LeaseLost):
        silent.release(lost)
    for held in taken:
        other.report(held, *(result(t.number) for t in held.trials))
    assert rank.trial(context, search, 0).score == 0.6
    assert view.search(context, search).counts == {TrialState.COMPLETED: 2}


def test_trial_is_given_up_after_the_last_attempt(make_context: MakeContext, clock: Clock) -> None:
    context = make_context(max_attempts=2)
    search = new_search(context, budget={"trials": 1})
    hand = Hand(context)
    for attempt in range(1, 1 + 2 * EVIDENT):  # a worker that falls silent may have been killed from outside
        assert hand.take().trials[0].attempt == attempt
        clock.advance(61)
    assert hand.try_take() is None
    trial = rank.trial(context, search, 0)
    assert trial.state is TrialState.FAILED
    assert "no further than epoch 0; the last time its worker stopped reporting" in str(trial.message)
    assert view.search(context, search).state is SearchState.FAILED


def test_reported_states_outlive_the_worker(context: Context, clock: Clock) -> None:
    new_search(context, budget={"trials": 2})
    held = Hand(context, "dies").take(4)
    first, second = (t.number for t in held.trials)
    transfer.put_snapshot(context, held.lease, held.token, "first.safetensors", b"where it stands")
    sent = Report(snapshots={first: "first.safetensors", second: "never-arrived.safetensors"})
    report(context, held.lease, held.token, sent)
    clock.advance(61)
    other = Hand(context, "goes on")
    taken, last = other.take(4), other.take(4)
    resume = {t.number: t.resume for t in (*taken.trials, *last.trials)}
    assert resume[second] is None
    assert resume[first] is not None
    path = transfer.snapshot_path(context, taken.lease, taken.token, resume[first])
    assert path.read_bytes() == b"where it stands"


def test_released_trials_wait_again_with_their_states_and_no_attempt_counted(context: Context) -> None:
    new_search(context, budget={"trials": 2})
    hand = Hand(context)
    held = hand.take(4)
    transfer.put_snapshot(context, held.lease, held.token, "pack.safetensors", b"state")
    hand.release(held, {0: "pack.safetensors", 1: "never-uploaded.safetensors"})
    again = hand.take(4)
    assert [t.attempt for t in again.trials] == [1, 1]
    first, second = (t.resume for t in again.trials)
    assert second is None
    assert first is not None
    assert transfer.snapshot_path(context, again.lease, again.token, first).read_bytes() == b"state"


def test_state_of_a_trial_survives_the_next_worker_s_death(context: Context, clock: Clock) -> None:
    new_search(context, budget={"trials": 1})
    hand = Hand(context)
    held = hand.take()
    transfer.put_snapshot(context, held.lease, held.token, "pack.safetensors", b"state")
    hand.release(held, {0: "pack.safetensors"})
    resume = hand.take().trials[0].resume
    clock.advance(61)
    assert hand.take().trials[0].resume == resume


def test_completing_and_releasing_twice_changes_nothing(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    hand.report(held, result(0))
    for _ in range(2):
        hand.release(held)
        hand.release(held)
    assert view.search(context, search).counts[TrialState.COMPLETED] == 1


def test_same_report_twice_changes_nothing_and_gets_the_same_answer(context: Context) -> None:
    search = new_search(context, checkpoints={"keep": 1})
    hand = Hand(context)
    held = hand.take(4)
    sent = Report(
        results=[result(0, checkpoints=True)],
        progress=[TrialProgress(trial=1, epoch=2, score=0.25)],
    )
    first = report(context, held.lease, held.token, sent)
    before = rank.leaderboard(context, search)
    assert report(context, held.lease, held.token, sent) == first
    assert rank.leaderboard(context, search) == before
    assert (
        report(context, held.lease, held.token, sent.model_copy(update={"results": [result(0, (0.9, 0.9))]})) == first
    )
    assert rank.trial(context, search, 0).score == 0.6


def test_wrong_token_changes_nothing(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    forged = held.model_copy(update={"token": "other"})
    for act in (lambda: hand.report(forged, result(0)), lambda: hand.release(forged)):
        with pytest.raises(LeaseLost):
            act()
    with pytest.raises(LeaseLost):
        transfer.put_checkpoints(context, held.lease, "other", {checkpoint(0, 0): b"x"})
    assert rank.trial(context, search, 0).state is TrialState.RUNNING


def test_result_of_a_trial_of_another_lease_is_ignored(context: Context) -> None:
    search = new_search(context)
    first, second = Hand(context), Hand(context)
    held, other = first.take(2), second.take(2)
    first.report(held, result(other.trials[0].number))
    assert rank.trial(context, search, other.trials[0].number).state is TrialState.RUNNING


def test_lease_of_a_deleted_search_is_lost(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take()
    control.delete(context, search)
    with pytest.raises(LeaseLost):
        hand.report(held, result(0))
    assert view.all_searches(context).rows == []


def test_progress_shows_in_the_trial_and_ends_with_it(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    hand.report(held, progress=[TrialProgress(trial=0, epoch=4, score=0.25), TrialProgress(trial=99, epoch=1)])
    trial = rank.trial(context, search, 0)
    assert (trial.epoch, trial.progress, trial.score) == (4, 0.25, None)
    hand.report(held, result(0))
    assert rank.trial(context, search, 0).progress is None


def test_throughput_is_that_of_the_last_reports(context: Context, clock: Clock) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    clock.advance(2)
    hand.report(held, steps=500)
    assert view.search(context, search).member_steps_per_s == 250
    clock.advance(30)
    assert view.search(context, search).member_steps_per_s is None


def beyond_its_end(sent: TrialResult) -> TrialResult:
    first, *others = sent.folds
    return sent.model_copy(update={"folds": [first.model_copy(update={"best_epoch": first.epochs + 1}), *others]})


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        (result(0, (0.5,)), "results.0.folds"),
        (result(0, (0.5, 0.5, 0.5)), "results.0.folds"),
        (beyond_its_end(result(0)), "results.0.folds.0.best_epoch"),
    ],
)
def test_result_that_does_not_fit_is_refused_whole(context: Context, sent: object, path: str) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(4)
    with pytest.raises(InvalidInput) as refused:
        hand.report(held, result(1), sent)  # type: ignore[arg-type]
    assert refused.value.faults[0].path == path
    assert rank.trial(context, search, 1).state is TrialState.RUNNING


def test_checkpoint_of_another_trial_is_refused(context: Context) -> None:
    new_search(context)
    hand = Hand(context)
    held = hand.take(4)
    other = result(1, checkpoints=True)
    with pytest.raises(InvalidInput, match="trial-000001"):
        hand.report(held, other.model_copy(update={"trial": 0}))


def test_curves_come_back_as_they_were_sent(context: Context) -> None:
    search = new_search(context)
    hand = Hand(context)
    held = hand.take(2)
    sent = result(0)
    curve = sent.folds[1].curve.model_copy(update={"train_loss": [0.1, None, 1e300], "score": [None, 0.3, -0.0]})
    sent = sent.model_copy(update={"folds": [sent.folds[0], sent.folds[1].model_copy(update={"curve": curve})]})
    hand.report(held, sent)
    assert rank.curves(context, search, 0).curves[1] == curve
    with context.database.read() as connection:
        assert set(scores.curves(connection, search, 0)) == {0, 1}


@pytest.mark.parametrize("n_masters", [1, 2])
def test_many_workers_at_once_train_each_trial_once(
    make_context: MakeContext, database_url: str, n_masters: int
) -> None:
    """Real threads; on Postgres through two masters, on SQLite, which only one may open, through one."""
    masters = [make_context(plan_ahead=4) for _ in range(n_masters if "postgres" in database_url else 1)]
    searches = [
        new_search(masters[0], budget={"trials": 23}),
        new_search(masters[0], budget={"trials": 11, "parallel": 2}),
    ]
    hands = [Hand(masters[i % len(masters)], f"hand {i}") for i in range(4)]
    start = threading.Barrier(len(hands))
    trained: list[tuple[str, int]] = []

    def train(hand: Hand) -> None:
        start.wait()
        while any(view.search(hand.context, s).state is not SearchState.COMPLETED for s in searches):
            held = hand.try_take(4)
            for trial in held.trials if held else ():
                hand.report(held, progress=[TrialProgress(trial=trial.number, epoch=1, score=0.5)])
                hand.report(held, result(trial.number, (trial.number / 100, 0.5)))
                trained.append((held.search, trial.number))
            if held:
                hand.release(held)

    with ThreadPoolExecutor(len(hands)) as pool:
        for done in [pool.submit(train, hand) for hand in hands]:
            done.result()
    assert sorted(trained) == sorted([(searches[0], n) for n in range(23)] + [(searches[1], n) for n in range(11)])
    for search, n in zip(searches, (23, 11), strict=True):
        assert view.search(masters[0], search).counts == {TrialState.COMPLETED: n}


def test_values_that_no_database_holds_are_refused(context: Context) -> None:
    search = new_search(context, checkpoints={"keep": 10**30})
    hand = Hand(context)
    held = hand.take(2)
    with pytest.raises(ValidationError):
        TrialProgress(trial=0, epoch=2**70)
    with pytest.raises(InvalidInput, match="does not fit"):
        hand.report(held, progress=[TrialProgress.model_construct(trial=0, epoch=2**70, score=None)])
    hand.report(held, result(0, checkpoints=True))
    assert rank.trial(context, search, 0).state is TrialState.COMPLETED
    with pytest.raises((InvalidInput, NotFound)):
        view.search(context, "\0")
