"""The leaderboard: its order, its pages, and the checkpoints of its best."""

from __future__ import annotations

from typing import Literal

import pytest

from foldstep.service.contract.errors import InvalidInput, NotFound
from foldstep.service.contract.leaderboard import TrialView
from foldstep.service.contract.states import TrialState
from foldstep.service.flow import control, files, rank, transfer
from foldstep.service.flow.context import Context
from foldstep.service.flow.recover import recover
from tests.service.scenes import Hand, checkpoint, new_search, result


def pages(context: Context, search: str, limit: int, order_by: Literal["score", "number"] = "score") -> list[TrialView]:
    rows, cursor = [], None
    while True:
        page = rank.leaderboard(context, search, limit=limit, cursor=cursor, order_by=order_by)
        assert len(page.rows) <= limit
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows


@pytest.fixture
def mixed(context: Context) -> str:
    """Scores with ties, a diverged, a failed, a running and an undefined trial, and one that waits."""
    search = new_search(context, budget={"trials": 9})
    hand = Hand(context)
    held = hand.take(16)
    scores = [0.5, 0.9, 0.5, 0.7]
    hand.report(
        held,
        *(result(n, (s, s)) for n, s in enumerate(scores)),
        result(4, (None, None)),
        result(5, (), outcome="failed", message="no"),
        result(7, (0.9, None), outcome="undefined"),
    )
    return search


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_best_first_ties_by_number_diverged_and_failed_last(context: Context, mixed: str, limit: int) -> None:
    rows = pages(context, mixed, limit)
    assert [r.trial for r in rows] == [1, 3, 0, 2, 6, 7, 4, 5]
    assert [r.rank for r in rows] == [1, 2, 3, 4, None, None, None, None]
    states = [TrialState.RUNNING, TrialState.UNDEFINED, TrialState.DIVERGED, TrialState.FAILED]
    assert [r.state for r in rows[4:]] == states


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_order_by_number(context: Context, mixed: str, limit: int) -> None:
    rows = pages(context, mixed, limit, "number")
    assert [r.trial for r in rows] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [r.rank for r in rows] == [3, 1, 4, 2, None, None, None, None]


def test_less_is_better_for_a_loss(context: Context) -> None:
    search = new_search(context, metric="log_loss")
    hand = Hand(context)
    held = hand.take(6)
    hand.report(held, *(result(n, (s, s)) for n, s in enumerate([0.5, 0.1, 0.9])))
    assert [r.trial for r in rank.leaderboard(context, search).rows] == [1, 0, 2]


@pytest.mark.parametrize(
    "cursor", ["", "x", "bm90IGpzb24=", "WzEsIDJd", "WyJudW1iZXIiLCAwLCAxXQ==", "W10=", "bnVsbA=="]
)
def test_foreign_cursor_is_refused(context: Context, mixed: str, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        rank.leaderboard(context, mixed, cursor=cursor)


def test_unknown_trial_is_not_found(context: Context, mixed: str) -> None:
    for read in (rank.trial, rank.curves):
        with pytest.raises(NotFound, match="no trial 99"):
            read(context, mixed, 99)


def train(context: Context, scores: list[float]) -> None:
    """One trial after the other, its checkpoints uploaded first."""
    hand = Hand(context)
    for score in scores:
        held = hand.take(2)
        number = held.trials[0].number
        for fold in range(2):
            name = checkpoint(number, fold, score)
            transfer.put_checkpoints(context, held.lease, held.token, {name: name.encode()})
        hand.report(held, result(number, (score, score), checkpoints=True))
        hand.release(held)


def test_checkpoints_of_the_best_trials_stay(context: Context) -> None:
    search = new_search(context, checkpoints={"keep": 2})
    train(context, [0.5, 0.6, 0.4, 0.7, 0.6])
    kept = {checkpoint(n, fold, score) for n, score in ((3, 0.7), (1, 0.6)) for fold in range(2)}
    assert files.names_in(files.checkpoint_folder(context.settings, search)) == kept
    rows = rank.leaderboard(context, search).rows
    assert {name for row in rows for name in row.checkpoints} == kept
    assert transfer.checkpoint_path(context, search, sorted(kept)[0]).read_bytes() == sorted(kept)[0].encode()


@pytest.mark.parametrize(("keep", "n_files"), [("none", 0), (0, 0), ("all", 6)])
def test_none_or_all_checkpoints_stay(context: Context, keep: object, n_files: int) -> None:
    search = new_search(context, checkpoints={"keep": keep})
    train(context, [0.5, 0.6, 0.4])
    assert len(files.names_in(files.checkpoint_folder(context.settings, search))) == n_files
    held = Hand(context).take()
    assert held.keep_checkpoints == (None if n_files else 0)
    assert held.checkpoint_bar is None


def test_bar_is_the_score_of_the_last_that_stays(context: Context) -> None:
    new_search(context, checkpoints={"keep": 2})
    train(context, [0.5, 0.6])
    hand = Hand(context)
    held = hand.take(2)
    assert held.checkpoint_bar == 0.5
    assert hand.report(held, result(2, (0.7, 0.7))).checkpoint_bar == 0.6


def test_start_removes_what_a_crash_left(context: Context) -> None:
    search = new_search(context, checkpoints={"keep": 1})
    train(context, [0.5])
    held = Hand(context).take(2)
    folder = files.checkpoint_folder(context.settings, search)
    coming, stale, draft = checkpoint(held.trials[0].number, 0), checkpoint(0, 0, 0.1), "val.safetensors.12.part"
    for name in (coming, stale, draft):
        (folder / name).write_bytes(b"x")
    foreign = context.settings.checkpoints_dir / "another-search"
    foreign.mkdir()
    (foreign / stale).write_bytes(b"x")
    recover(context)
    assert files.names_in(folder) == {checkpoint(0, 0, 0.5), checkpoint(0, 1, 0.5), coming}
    assert files.names_in(foreign) == {stale}


def test_deleted_search_takes_its_files_along(context: Context) -> None:
    search = new_search(context)
    train(context, [0.5])
    control.delete(context, search)
    assert not files.checkpoint_folder(context.settings, search).exists()


def test_states_go_when_the_search_ends(context: Context) -> None:
    search = new_search(context, budget={"trials": 1})
    hand = Hand(context)
    held = hand.take()
    transfer.put_snapshot(context, held.lease, held.token, "pack.safetensors", b"x")
    hand.report(held, result(0))
    assert not files.snapshot_folder(context.settings, search).exists()
    transfer.put_snapshot(context, held.lease, held.token, "pack.safetensors", b"x")
    assert not files.snapshot_folder(context.settings, search).exists()


@pytest.mark.parametrize("name", ["../x.safetensors", "x.pkl", "", ".safetensors", "a/b.safetensors", "x" * 200])
def test_names_that_leave_the_folder_are_refused(context: Context, name: str) -> None:
    new_search(context)
    held = Hand(context).take()
    with pytest.raises(InvalidInput):
        transfer.put_checkpoints(context, held.lease, held.token, {checkpoint(0, 0): b"x", name: b"x"})
    with pytest.raises(InvalidInput):
        transfer.put_snapshot(context, held.lease, held.token, name, b"x")
    assert not (context.settings.checkpoints_dir).exists()


def test_checkpoint_of_a_trial_that_was_stopped_is_dropped(context: Context) -> None:
    search = new_search(context)
    held = Hand(context).take(2)
    control.stop(context, search)
    transfer.put_checkpoints(context, held.lease, held.token, {checkpoint(0, 0): b"x"})
    assert files.names_in(files.checkpoint_folder(context.settings, search)) == set()


def test_a_size_is_that_of_the_greatest_network_that_a_worker_counted(context: Context) -> None:
    """Before a fold has ended it is counted for the inputs of all rows, but not with an input stage."""
    parameters = {"number_embedding": ["plr", "none"], "lr": {"low": 1e-3, "high": 0.1}}
    search = new_search(context, budget={"trials": 4}, method="grid", parameters=parameters | {"lr": 0.01})
    hand = Hand(context)
    held = hand.take(4)
    before = {row.params["number_embedding"]: row.n_parameters for row in pages(context, search, 9)}
    assert before == {"plr": None, "none": (1 + 1) * 64 + (64 + 1) * 64 + (64 + 1) * 3}
    ended = [result(trial.number) for trial in held.trials]
    sizes = [[5_000_000_000, None], [None, 7]]
    counted = [
        one.model_copy(
            update={"folds": [f.model_copy(update={"n_parameters": n}) for f, n in zip(one.folds, own, strict=True)]}
        )
        for one, own in zip(ended, sizes, strict=True)
    ]
    hand.report(held, *counted)
    assert [row.n_parameters for row in pages(context, search, 9, "number")] == [5_000_000_000, 7]
