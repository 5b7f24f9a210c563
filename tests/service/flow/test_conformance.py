"""What every method owes its users, through the service, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from foldstep.service.contract.leaderboard import TrialView
from foldstep.service.contract.lease import Lease
from foldstep.service.contract.methods import METHODS, SearchMethod
from foldstep.service.contract.space import Space
from foldstep.service.contract.stage import StagePlan
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.db import stages
from foldstep.service.flow import rank, view
from foldstep.service.flow.context import Context
from tests.service.conftest import MakeContext
from tests.service.scenes import LR, Hand, new_search, result, score_of

PARAMETERS: dict[str, Any] = {
    "lr": LR,
    "dropout": {"low": 0.0, "high": 0.8},
    "optimizer": ["sgd", "adam"],
    "momentum": {"low": 0.5, "high": 0.99, "when": {"optimizer": "sgd"}},
}
GRID: dict[str, Any] = {"lr": [0.1, 0.01, 0.001], "dropout": [0.0, 0.4], "optimizer": ["sgd", "adam"]}
STAGES = [{"trials": 8, "epochs": 1}, {"trials": 6, "epochs": 3}]
N_OF_GRID, N_TRIALS = 12, 14
RUNGS = {"early_stop": {"rungs": "asha", "eta": 2, "min_epochs": 1}}


def search_of(context: Context, method: str, changes: dict[str, Any]) -> str:
    return new_search(context, **{"method": method, "parameters": PARAMETERS, **fitting(METHODS[method]), **changes})


def fitting(method: SearchMethod) -> dict[str, Any]:
    """What a spec of this method needs."""
    if method.enumerates:
        return {"parameters": GRID, "budget": {}}
    if method.is_staged:
        return {"stages": STAGES, "budget": {}}
    return {"budget": {"trials": N_TRIALS}, **({"batch": 4} if method.learns else {})}


def rows(context: Context, search: str) -> list[TrialView]:
    return list(rank.leaderboard(context, search, order_by="number", limit=100).rows)


def outcome(row: TrialView) -> tuple[object, ...]:
    """What must not depend on who worked."""
    return row.trial, row.stage, row.params, row.score, row.state


def train(hand: Hand, lease: Lease) -> None:
    """Everything a lease asks for: to the end, or to the rung."""
    hand.report(lease, *(_result(t) for t in lease.trials))


def _result(trial: Any) -> Any:
    return result(
        trial.number,
        [score_of(trial.params)] * 2,
        outcome="completed" if trial.until is None else "paused",
        epochs=trial.until or trial.params.get("epochs", 3),
    )


def work_alone(context: Context) -> None:
    hand = Hand(context)
    while lease := hand.try_take(4):
        train(hand, lease)
        hand.release(lease)


def work_together(make_context: MakeContext, context: Context, search: str) -> Context:
    """Three workers with leases of two trials, taken by turns; the master begins anew before every call."""
    hands = [Hand(context, f"hand {i}") for i in range(3)]
    held: dict[str, Lease] = {}

    def restarted() -> Iterator[Context]:
        while True:
            hands[0].context.database.close()
            new = make_context()
            for hand in hands:
                hand.context = new
            yield new

    masters = restarted()
    for turn in range(300):
        context, hand = next(masters), hands[turn % 3]
        if lease := held.pop(hand.name, None):
            train(hand, lease)
            next(masters)
            hand.release(lease)
        elif lease := hand.try_take(4):
            held[hand.name] = lease
        context = next(masters)
        if view.search(context, search).finished_at is not None:
            return context
    raise AssertionError("the search has no end")


def spaces(context: Context, search: str, n_stages: int) -> list[Space]:
    with context.database.read() as connection:
        return [StagePlan.model_validate(stages.get(connection, search, n).plan).space for n in range(n_stages)]


@pytest.mark.parametrize("changes", [{}, RUNGS], ids=["straight", "rungs"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_its_promises(method: str, changes: dict[str, Any], make_context: MakeContext) -> None:
    """In the space, the budget exactly, the same whoever works, and a master that restarts between any two calls."""
    context = make_context()
    alone = search_of(context, method, changes)
    work_alone(context)
    shared = search_of(context, method, changes)
    context = work_together(make_context, context, shared)
    for search in (alone, shared):
        seen = view.search(context, search)
        assert seen.state is SearchState.COMPLETED
        assert sum(seen.counts.values()) == (N_OF_GRID if METHODS[method].enumerates else N_TRIALS)
        assert set(seen.counts) <= {TrialState.COMPLETED, *([TrialState.PRUNED] if changes else [])}
    one = rows(context, alone)
    assert [outcome(row) for row in one] == [outcome(row) for row in rows(context, shared)]
    assert len({str(row.params) for row in one if row.stage == 0}) == sum(row.stage == 0 for row in one), "none twice"
    for stage, space in enumerate(spaces(context, shared, 1 + one[-1].stage)):
        for row in (row for row in one if row.stage == stage):
            point = {name: value for name, value in row.params.items() if name in PARAMETERS}
            assert set(point) == {name for name in space.parameters if space.is_active(name, point)}
            assert all(space.parameters[name].contains(value) for name, value in point.items())
