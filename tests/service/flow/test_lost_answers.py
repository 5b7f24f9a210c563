"""A request whose answer was lost is sent again: it changes nothing more, and gets the same answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from foldstep.service.contract.errors import KeyReused, LeaseLost
from foldstep.service.contract.lease import Lease
from foldstep.service.contract.report import LeaseEnd, Report, ReportReply, TrialProgress
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.contract.submit import Extension
from foldstep.service.db import leases
from foldstep.service.flow import rank, transfer, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.extend import extend
from foldstep.service.flow.lease import lease
from foldstep.service.flow.report import report
from foldstep.service.flow.submit import submit
from tests.service.conftest import MakeContext
from tests.service.flow.test_checks import BEFORE
from tests.service.scenes import Clock, Hand, new_search, result, spec

KEY, OTHER_KEY = "0123456789abcdef", "fedcba9876543210"


def same(one: Lease | None, other: Lease | None) -> bool:
    assert one is not None
    assert other is not None
    return one.model_copy(update={"expires_at": other.expires_at}) == other


def test_lease_request_that_is_repeated_gets_the_same_lease(context: Context, clock: Clock) -> None:
    search = new_search(context, budget={"trials": 6})
    hand = Hand(context)
    held = hand.try_take(4, KEY)
    clock.advance(30)
    assert same(held, hand.try_take(4, KEY))
    assert view.search(context, search).counts[TrialState.RUNNING] == 2
    clock.advance(45)
    assert same(held, hand.try_take(4, KEY)), "a repeated request is a sign of life"
    other = hand.try_take(4, OTHER_KEY)
    assert other is not None
    assert held is not None
    assert not {t.number for t in other.trials} & {t.number for t in held.trials}
    hand.report(held, *(result(t.number) for t in held.trials))


def test_lease_request_that_is_repeated_after_the_lease_ran_out(context: Context, clock: Clock) -> None:
    new_search(context, budget={"trials": 2})
    hand, other = Hand(context), Hand(context, "other")
    held = hand.try_take(4, KEY)
    clock.advance(61)
    assert same(held, hand.try_take(4, KEY)), "nobody else has its trials"
    clock.advance(61)
    assert len(other.take(4).trials) + len(other.take(4).trials) == 2
    assert hand.try_take(4, KEY) is None
    assert held is not None
    with pytest.raises(LeaseLost):
        hand.report(held)


def test_lease_request_that_comes_after_the_release_gets_nothing(context: Context) -> None:
    new_search(context, budget={"trials": 6})
    hand = Hand(context)
    held = hand.try_take(4, KEY)
    assert held is not None
    hand.release(held)
    assert hand.try_take(4, KEY) is None, "the worker had its answer: this is an old request on its way"
    assert hand.try_take(4, OTHER_KEY) is not None


def test_database_holds_neither_tokens_nor_keys(context: Context) -> None:
    new_search(context, budget={"trials": 6})
    hand = Hand(context)
    with_key, without = hand.try_take(4, KEY), hand.take(4)
    assert with_key is not None
    with context.database.read() as connection:
        stored = [str(leases.get(connection, held.lease)) for held in (with_key, without)]
        found = leases.by_key(connection, KEY)
    assert found is not None
    assert found.id == with_key.lease
    for secret in (KEY, with_key.token, without.token):
        assert not any(secret in row for row in stored)


def test_lease_request_for_checks_that_is_repeated(context: Context) -> None:
    new_search(context, checks=BEFORE)
    hand = Hand(context)
    assert same(hand.try_take(4, KEY), hand.try_take(4, KEY))


def test_lease_requests_of_one_key_at_the_same_time_get_one_lease(make_context: MakeContext, database_url: str) -> None:
    """Real threads; on Postgres through two masters, which search each in their own order."""
    masters = [make_context(), make_context() if "postgres" in database_url else None]
    contexts = [m for m in masters if m is not None]
    for _ in range(2):
        new_search(contexts[0], budget={"trials": 40})
    worker = Hand(contexts[0])
    for i in range(10):
        key, start = f"key-number-{i:06d}", threading.Barrier(4)

        def ask(n: int, key: str = key, start: threading.Barrier = start) -> Lease | None:
            start.wait()
            return lease(contexts[n % len(contexts)], worker.request(4, key))

        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(ask, range(4)))
        assert all(same(got[0], other) for other in got[1:])
    with contexts[0].database.read() as connection:
        assert leases.n_held(connection) == 10


def ended(hand: Hand, held: Lease, key: str | None = OTHER_KEY) -> Report:
    """Make the only report of a short lease: its results, its end, and the request for the next one."""
    done = [result(t.number) for t in held.trials]
    return Report(results=done, release=LeaseEnd(), next=hand.request(4, key))


def without_expiry(reply: ReportReply) -> ReportReply:
    lease = reply.lease and reply.lease.model_copy(update={"expires_at": reply.expires_at})
    return reply.model_copy(update={"lease": lease})


def test_short_leases_take_one_call_each(context: Context) -> None:
    search = new_search(context, budget={"trials": 6})
    hand = Hand(context)
    held = hand.take(4)
    for i in range(3):
        reply = report(context, held.lease, held.token, ended(hand, held, f"key-number-{i:06d}"))
        if reply.lease is not None:
            held = reply.lease
    assert reply.lease is None
    assert view.search(context, search).state is SearchState.COMPLETED
    with context.database.read() as connection:
        assert leases.n_held(connection) == 0


def test_report_that_ends_its_lease_and_asks_for_the_next_is_repeated(context: Context) -> None:
    search = new_search(context, budget={"trials": 6}, checkpoints={"keep": 1})
    hand = Hand(context)
    held = hand.take(4)
    sent = ended(hand, held)
    first = report(context, held.lease, held.token, sent)
    assert first.lease is not None
    before = rank.leaderboard(context, search)
    for _ in range(2):
        assert without_expiry(report(context, held.lease, held.token, sent)) == without_expiry(first)
    assert rank.leaderboard(context, search) == before
    assert view.search(context, search).counts[TrialState.RUNNING] == 2
    with pytest.raises(LeaseLost):
        report(context, held.lease, held.token, Report(progress=[TrialProgress(trial=0, epoch=1)]))
    with pytest.raises(LeaseLost):
        report(context, held.lease, "another token", sent)


def test_report_ends_a_lease_as_a_release_does(context: Context) -> None:
    new_search(context, budget={"trials": 2})
    hand = Hand(context)
    held = hand.take(4)
    transfer.put_snapshot(context, held.lease, held.token, "state.safetensors", b"state")
    end = LeaseEnd(snapshots={1: "state.safetensors"})
    report(context, held.lease, held.token, Report(results=[result(0)], release=end))
    hand.release(held, {1: "state.safetensors"})
    again = hand.take(4).trials
    assert [(t.number, t.attempt, t.resume) for t in again] == [(1, 1, f"lease-{held.lease}_state.safetensors")]


def test_report_is_kept_though_its_worker_may_have_no_other_lease(context: Context) -> None:
    search = new_search(context, budget={"trials": 6})
    hand = Hand(context)
    held = hand.take(4)
    sent = ended(hand, held).model_copy(update={"next": hand.request().model_copy(update={"worker": 99})})
    assert report(context, held.lease, held.token, sent).lease is None
    assert view.search(context, search).counts[TrialState.COMPLETED] == 2


def test_submission_that_is_repeated_is_one_search(context: Context) -> None:
    raw = spec()
    first = submit(context, raw, KEY)
    assert submit(context, raw, KEY).id == first.id
    with pytest.raises(KeyReused, match=first.id):
        submit(context, spec(seed=8), KEY)
    assert len(view.all_searches(context).rows) == 1


def test_extension_that_is_repeated_is_one(context: Context) -> None:
    search = new_search(context, budget={"trials": 2})
    Hand(context).work_all()
    for _ in range(2):
        extend(context, search, Extension(trials=3), KEY)
    assert view.search(context, search).progress.trials_planned == 5
    extend(context, search, Extension(trials=3), OTHER_KEY)
    with pytest.raises(KeyReused):
        extend(context, search, Extension(trials=4), OTHER_KEY)
    assert view.search(context, search).progress.trials_planned == 8


def test_submissions_of_one_key_at_the_same_time_are_one_search(context: Context) -> None:
    start = threading.Barrier(4)

    def send(_n: int) -> str:
        start.wait()
        return new_search(context, key=KEY)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(send, range(4)))) == 1
    assert len(view.all_searches(context).rows) == 1
