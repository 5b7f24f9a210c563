"""What is let go: searches after `keep_days`, checkpoints over the quota; and what a deletion tells."""

from __future__ import annotations

import pytest

from foldstep.service.contract.errors import NotFound
from foldstep.service.contract.footprint import Footprint
from foldstep.service.contract.states import SearchState
from foldstep.service.db import searches
from foldstep.service.flow import control, files, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.retain import retain
from tests.service.conftest import MakeContext
from tests.service.scenes import Clock, Hand, checkpoint, new_search, result

DAY_S = 86_400.0


def ids(context: Context) -> set[str]:
    with context.database.read() as connection:
        return set(searches.all_ids(connection))


def done(context: Context, name: str) -> str:
    """A search that has ended."""
    search = new_search(context, name=name)
    Hand(context).work_all()
    assert view.search(context, search).state is SearchState.COMPLETED
    return search


def test_searches_go_after_their_days_with_their_files(make_context: MakeContext, clock: Clock) -> None:
    context = make_context(keep_days=7)
    old = done(context, "old")
    folder = files.checkpoint_folder(context.settings, old)
    files.write_whole(folder, {checkpoint(0, 0): b"weights"})
    clock.advance(3 * DAY_S)
    young = done(context, "young")
    clock.advance(4 * DAY_S)
    retain(context)
    assert ids(context) == {old, young}, "not before its time"
    clock.advance(1)
    retain(context)
    assert ids(context) == {young}
    assert not folder.exists()


def test_searches_that_nobody_works_on_are_stopped(make_context: MakeContext, clock: Clock) -> None:
    context = make_context(keep_days=7)
    idle, busy, paused = (new_search(context, name=name) for name in ("idle", "busy", "paused"))
    hand = Hand(context)
    control.pause(context, idle)
    control.pause(context, paused)
    held = hand.take()
    control.resume(context, idle)
    control.resume(context, paused)
    clock.advance(6 * DAY_S)
    hand.report(held)
    control.pause(context, paused)
    clock.advance(2 * DAY_S)
    retain(context)
    assert view.search(context, idle).state is SearchState.STOPPED
    assert view.search(context, busy).state is SearchState.RUNNING, "its worker reported two days ago"
    assert view.search(context, paused).state is SearchState.PAUSED, "someone paused it two days ago"


def test_without_days_everything_stays(context: Context, clock: Clock) -> None:
    search = done(context, "old")
    clock.advance(10_000 * DAY_S)
    retain(context)
    assert ids(context) == {search}


def with_checkpoints(context: Context, search: str, n_bytes: int) -> list[int]:
    """Train all trials of a search, each with two checkpoints, better from trial to trial."""
    hand, folder, numbers = Hand(context), files.checkpoint_folder(context.settings, search), []
    while held := hand.try_take():
        for number in (trial.number for trial in held.trials):
            scores = (number / 100, number / 100)
            names = [checkpoint(number, fold, score) for fold, score in enumerate(scores)]
            files.write_whole(folder, {name: bytes(n_bytes) for name in names})
            hand.report(held, result(number, scores, checkpoints=True))
            numbers.append(number)
        hand.release(held)
    return sorted(numbers)


def test_over_the_quota_the_worst_trials_lose_their_checkpoints(make_context: MakeContext) -> None:
    context = make_context(max_search_bytes=5000)
    search = new_search(context, checkpoints={"keep": "all"})
    numbers = with_checkpoints(context, search, 1000)
    folder = files.checkpoint_folder(context.settings, search)
    kept = {parsed.trial for name in files.names_in(folder) if (parsed := files.parse_checkpoint(name))}
    assert kept == set(numbers[-2:]), "two of the best fit, with two files of 1,000 bytes each"
    rows = rank.leaderboard(context, search).rows
    assert {row.trial for row in rows if any(row.checkpoints)} == kept, "rows name no file that is gone"
    assert any("quota of 5,000 bytes" in note for note in view.search(context, search).notes)


def test_snapshots_count_and_stay(make_context: MakeContext) -> None:
    context = make_context(max_search_bytes=5000)
    search = new_search(context, checkpoints={"keep": "all"})
    snapshots = files.snapshot_folder(context.settings, search)
    first, second = Hand(context).take(1), Hand(context)  # the first trains on
    files.write_whole(snapshots, {files.stored_snapshot(first.lease, "a.safetensors"): bytes(2500)})
    with_checkpoints(context, search, 1000)
    kept = {files.parse_checkpoint(n).trial for n in files.names_in(files.checkpoint_folder(context.settings, search))}
    assert len(kept) == 1, "beside the snapshot one of the best fits, with two files of 1,000 bytes"
    assert sum(files.sizes_in(snapshots)) == 2500
    assert second.try_take() is None


def test_the_best_trial_keeps_its_checkpoints_in_any_case(make_context: MakeContext) -> None:
    context = make_context(max_search_bytes=1)
    search = new_search(context, checkpoints={"keep": "all"})
    best = with_checkpoints(context, search, 1000)[-1]
    names = files.names_in(files.checkpoint_folder(context.settings, search))
    assert {files.parse_checkpoint(name).trial for name in names} == {best}


def test_a_deletion_tells_what_it_removed(context: Context) -> None:
    search = new_search(context, checkpoints={"keep": "all"})
    with_checkpoints(context, search, 1000)
    assert control.delete(context, search) == Footprint(trials=6, files=12, bytes=12_000)
    with pytest.raises(NotFound):
        control.delete(context, search)
