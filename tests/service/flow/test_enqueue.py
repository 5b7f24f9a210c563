"""Configurations that a user enqueues: they take the next numbers, and leave the other trials what they are."""

from __future__ import annotations

from typing import Any

import pytest

from foldstep.service.contract.errors import Conflict, InvalidInput, NotFound
from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.contract.submit import Enqueue, EnqueueReply, Extension
from foldstep.service.flow import control, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.enqueue import enqueue
from foldstep.service.flow.extend import extend
from foldstep.service.flow.sweep import sweep
from tests.service.conftest import MakeContext
from tests.service.scenes import LR, Clock, Hand, new_search

WIDTH = {"low": 8, "high": 15}
SPACE = {"lr": LR, "width": WIDTH, "optimizer": ["sgd", "adam"],
         "momentum": {"low": 0.1, "high": 0.9, "when": {"optimizer": "sgd"}}}  # fmt: skip
ONE = {"lr": 0.05, "width": 9, "optimizer": "adam"}
TWO = {"lr": 0.02, "width": 12, "optimizer": "sgd", "momentum": 0.5}


def put(context: Context, search: str, *configurations: dict[str, Any]) -> EnqueueReply:
    return enqueue(context, search, Enqueue(configurations=list(configurations)))


def params(context: Context, search: str) -> list[dict[str, Any]]:
    """The searched values of all trials, by number."""
    rows = rank.leaderboard(context, search, order_by="number", limit=500).rows
    return [{k: v for k, v in row.params.items() if k not in ("seed", "epochs")} for row in rows]


METHODS: list[dict[str, Any]] = [
    {"method": "random"}, {"method": "sobol"}, {"method": "tpe"}, {"method": "gp"}, {"method": "cmaes"},
    {"method": "coarse_to_fine", "stages": [{"epochs": 2, "trials": 12}]},
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m["method"])
def test_all_methods_try_them_next_and_count_them(context: Context, method: dict[str, Any]) -> None:
    search, plain = (new_search(context, parameters=SPACE, budget={"trials": 12}, **method) for _ in range(2))
    reply = put(context, search, ONE, TWO)
    assert [(trial.trial, trial.is_new) for trial in reply.trials] == [(0, True), (1, True)]
    Hand(context).work_all()
    seen = view.search(context, search)
    assert (seen.state, seen.counts) == (SearchState.COMPLETED, {TrialState.COMPLETED: 12})
    own, others = params(context, search), params(context, plain)
    assert own[:2] == [ONE, TWO]
    n_blind = 12 if method["method"] in ("random", "sobol", "coarse_to_fine") else 10
    assert own[2:n_blind] == others[: n_blind - 2], "the others are as they were, under later numbers"
    assert "Trials 0 to 1 were enqueued" in " ".join(seen.notes)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_in_the_middle_of_a_search(context: Context, method: str) -> None:
    search, hand = new_search(context, parameters=SPACE, method=method, budget={"trials": 30}), Hand(context)
    hand.work(2)
    (trial,) = put(context, search, ONE).trials
    assert trial.trial == (1 if method == "random" else 8), (
        "before what waits, but after the batch of a method that learns"
    )
    hand.work_all()
    own = params(context, search)
    assert own[trial.trial] == ONE
    assert len(own) == 30
    again = new_search(context, parameters=SPACE, method=method, budget={"trials": 30})
    hand.work_all()
    others = params(context, again)
    if method == "random":
        assert [*own[: trial.trial], *own[trial.trial + 1 :]] == others[:29]
    else:  # what comes after it has learned from it
        assert own[: trial.trial] == others[: trial.trial]
        assert own[trial.trial + 1 :] != others[trial.trial : 29]


@pytest.mark.parametrize("method", ["grid", "random", "tpe"])
def test_each_point_of_a_finite_space_is_tried_once_all_the_same(context: Context, method: str) -> None:
    finite = {"lr": [0.1, 0.2, 0.3, 0.4], "optimizer": ["sgd", "adam"],
              "momentum": {"choices": [0.5, 0.9], "when": {"optimizer": "sgd"}}}  # fmt: skip
    search, hand = new_search(context, parameters=finite, method=method, budget={"trials": 50}), Hand(context)
    put(context, search, {"lr": 0.3, "optimizer": "adam"}, {"lr": 0.4, "optimizer": "sgd", "momentum": 0.9})
    hand.work(1)
    tried = params(context, search)
    later = next(
        {"lr": lr, "optimizer": "adam"}
        for lr in (0.4, 0.2, 0.1)
        if {"lr": lr, "optimizer": "adam"} not in tried or len(tried) == 12
    )
    put(context, search, later)
    hand.work_all()
    own = params(context, search)
    assert len(own) == 12
    assert len({str(sorted(one.items())) for one in own}) == 12


def test_later_stages_take_them_and_their_survivors(context: Context) -> None:
    stages = [{"epochs": 1, "trials": 9}, {"epochs": 3, "trials": 9}]
    search, hand = (
        new_search(context, method="coarse_to_fine", stages=stages, parameters={"lr": LR}, budget={}),
        Hand(context),
    )
    while view.search(context, search).stage == 0:
        hand.work(3)
    space = view.search(context, search).stages[1].space.parameters["lr"]
    value = space.from_unit(0.5)
    (trial,) = put(context, search, {"lr": value}).trials
    hand.work_all()
    rows = rank.leaderboard(context, search, order_by="number").rows
    assert len(rows) == 18
    assert (rows[trial.trial].params["lr"], rows[trial.trial].params["epochs"], rows[trial.trial].stage) == (
        value,
        3,
        1,
    )
    with pytest.raises(Conflict):
        put(context, search, {"lr": value})


def test_what_is_sent_twice_is_trained_once(context: Context) -> None:
    search = new_search(context, parameters=SPACE)
    first, again = put(context, search, ONE, TWO), put(context, search, TWO, ONE, ONE)
    assert [(t.trial, t.is_new) for t in again.trials] == [(1, False), (0, False), (0, False)]
    assert again.notes == ["3 of 3 are trials of the search already; none is trained twice."]
    assert first.notes == []
    Hand(context).work_all()
    assert params(context, search)[:2] == [ONE, TWO]
    assert len(params(context, search)) == 6


def test_what_is_left_out_is_filled_in_and_told(context: Context) -> None:
    search = new_search(context, parameters={"lr": LR, "depth": 2, "width": {"low": 8, "high": 300}})
    (trial,) = put(context, search, {"lr": "0.01", "seed": 0, "dropout": 0.0}).trials
    assert trial.params["lr"] == 0.01
    assert trial.params["depth"] == 2
    assert trial.params["width"] == 64


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({**ONE, "lr": 1.0}, "outside_of_space", "configurations.1.lr"),
    ({**ONE, "width": 9.5}, "out_of_domain", "configurations.1.width"),
    ({**ONE, "learning_rate": 1.0}, "unknown_key", "configurations.1.learning_rate"),
    ({**ONE, "momentum": 0.5}, "not_active", "configurations.1.momentum"),
    ({**ONE, "dropout": 0.5}, "not_searched", "configurations.1.dropout"),
    ({**ONE, "seed": 7}, "not_searched", "configurations.1.seed"),
    ({**ONE, "lr": [0.01, 0.02]}, "wrong_form", "configurations.1.lr"),
    ({"lr": 0.01, "optimizer": "adam"}, "missing", "configurations.1.width"),
]


@pytest.mark.parametrize(("bad", "code", "path"), REFUSED)
def test_what_is_no_point_of_the_space_is_refused_and_nothing_is_planned(
    context: Context, bad: dict[str, Any], code: str, path: str
) -> None:
    search = new_search(context, parameters=SPACE)
    with pytest.raises(InvalidInput, match="Nothing is enqueued") as caught:
        put(context, search, TWO, bad)
    assert [(fault.code, fault.path) for fault in caught.value.faults] == [(code, path)]
    assert params(context, search) == []


def test_the_budget_is_a_total(context: Context) -> None:
    search, hand = new_search(context, parameters=SPACE, budget={"trials": 2}), Hand(context)
    three = [{**ONE, "lr": lr} for lr in (0.01, 0.02, 0.03)]
    with pytest.raises(Conflict, match=f"has room for, which is 2.*foldstep extend {search} --trials 1"):
        put(context, search, *three)
    extend(context, search, Extension(trials=1))
    put(context, search, *three)
    hand.work_all()
    assert params(context, search) == three
    with pytest.raises(Conflict, match=r"is completed.*extend it first"):
        put(context, search, ONE)
    stopped = new_search(context)
    control.stop(context, stopped)
    with pytest.raises(Conflict, match=f"is stopped.*warm_start: {stopped}"):
        put(context, stopped, {"lr": 0.01})
    with pytest.raises(NotFound):
        put(context, "nowhere", ONE)


def test_paused_and_endless_searches_take_them_and_another_master_trains_them(
    context: Context, make_context: MakeContext
) -> None:
    search = new_search(context, parameters=SPACE, budget={"time": "1h"})
    control.pause(context, search)
    put(context, search, ONE)
    control.resume(context, search)
    if context.database.is_sqlite:
        context.database.close()
    Hand(make_context()).work(1)
    assert params(make_context(), search)[0] == ONE


def test_what_was_begun_keeps_its_number(context: Context, clock: Clock) -> None:
    search = new_search(context, parameters=SPACE)
    lost = Hand(context, "lost").take(2)
    clock.advance(1000)
    sweep(context)
    (trial,) = put(context, search, ONE).trials
    assert trial.trial == len(lost.trials) > 0
    plain = new_search(context, parameters=SPACE)
    Hand(context, "other").work_all()
    own, others = params(context, search), params(context, plain)
    assert own == [*others[: trial.trial], ONE, *others[trial.trial : 5]]
