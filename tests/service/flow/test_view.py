"""Searches at a glance cost as many statements for twenty of them as for one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from foldstep.service.flow import rank, view
from foldstep.service.flow.context import Context
from tests.service.scenes import Clock, Hand, new_search, result


def n_statements(context: Context) -> int:
    """How many statements the list of all searches takes."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(context.database.engine, "before_cursor_execute", note)
    view.all_searches(context)
    event.remove(context.database.engine, "before_cursor_execute", note)
    return len([s for s in seen if not s.startswith("BEGIN")])


def searched(context: Context, hand: Hand, place: int) -> str:
    """A search of six trials at its end; which of them is the best depends on its place."""
    search = new_search(context, name=f"s{place}", budget={"trials": 6})
    held = hand.take(8)
    assert held.search == search
    scores = [(0.1, 0.2)] * len(held.trials)
    scores[place % len(scores)] = (0.5, 0.6 + place / 100)
    hand.report(held, *(result(t.number, s, checkpoints=True) for t, s in zip(held.trials, scores, strict=True)))
    hand.release(held)
    while hand.work(4, (0.1, 0.2)):
        pass
    return search


def test_twenty_searches_take_as_many_statements_as_one(context: Context) -> None:
    hand = Hand(context)
    ids = [searched(context, hand, 0)]
    alone = n_statements(context)
    ids += [searched(context, hand, place) for place in range(1, 20)]
    new_search(context, name="unbegun")
    assert n_statements(context) == alone
    found = {seen.id: seen for seen in view.all_searches(context).rows}
    assert len(found) == 21
    for place, search in enumerate(ids):
        assert found[search] == view.search(context, search)
        best = found[search].best
        assert best is not None
        assert (best.trial, best.rank) == (place % 4, 1)
        assert best.folds == [0.5, 0.6 + place / 100]
        assert best == rank.trial(context, search, best.trial) == rank.leaderboard(context, search).rows[0]
        assert [stage.finished for stage in found[search].stages] == [6]


def test_a_worker_that_is_silent_for_the_time_of_a_lease_is_not_live(context: Context, clock: Clock) -> None:
    Hand(context)
    clock.advance(context.settings.lease_ttl_s)
    Hand(context)
    assert [worker.live for worker in view.all_workers(context).rows] == [True, True]
    clock.advance(1)
    assert [worker.live for worker in view.all_workers(context).rows] == [True, False]
    clock.advance(10 * context.settings.lease_ttl_s)
    assert view.all_workers(context).rows == []
