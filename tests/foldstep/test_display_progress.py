"""The lines of the progress: how long they get, and when a plain one is written."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from foldstep.display_progress import PLAIN_EVERY_S, Watch, packed, progress, span
from foldstep.service.contract.leaderboard import Leading, SearchProgress, SearchView
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.states import SearchState

HUGE = SearchProgress(
    activity="starting", epochs_done=123_456_789_012, epochs_planned=999_999_999_999, trials_done=9_999_999,
    trials_planned=10_000_000, stopped_early=8_888_888, diverged=777_777, failed=66_666, members=1_234_567,
    member_steps_per_s=987_654_321.0, time_left_s=1_234_567.0, leading=Leading(trial=9_999_999, score=-1.2345e-17),
)  # fmt: skip


def search(**changes: Any) -> SearchView:
    now = HUGE.model_copy(update={k: v for k, v in changes.items() if k in SearchProgress.model_fields})
    whole = SearchView(
        id="x" * 71 + "-1a2b3c", name="x" * 64, state=SearchState.RUNNING, method="random", task="regression",
        metric=MetricSpec(name="rmse"), dataset="d", fingerprint="f",
        stage=0, n_stages=3, trials=10_000_000, counts={}, n_folds=5,
        best=None, progress=now, member_steps_per_s=1.0, notes=[], checkpoint_dir="c",
        created_at=datetime.now(UTC), started_at=None, finished_at=None, stages=[],
    )  # fmt: skip
    return whole.model_copy(update={k: v for k, v in changes.items() if k in SearchView.model_fields})


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(progress(search(), width))
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in written.splitlines())
    if width >= 80:
        for part in (
            "123,456,789,012 of 999,999,999,999 epochs", "9,999,999 of 10,000,000 trials", "8,888,888 stopped early",
            "66,666 failed", "987,654,321 steps/s", "342 h 56 min left", "stage 1 of 3",
        ):  # fmt: skip
            assert part in written


def test_parts_are_packed_and_never_cut() -> None:
    assert packed(["a" * 5, "b" * 5, "c" * 20], 13, indent="  ") == ["aaaaa · bbbbb", f"  {'c' * 20}"]
    assert packed([], 80) == []


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3600, "1 h 00 min")])
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


class Clock:
    time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_plain_line_every_ten_seconds_and_at_every_news() -> None:
    written, clock = io.StringIO(), Clock()
    with Watch(Console(file=written, width=80), clock) as watch:

        def n_lines(view: SearchView) -> int:
            before = len(written.getvalue().splitlines())
            watch.look(view)
            return sum(not line.startswith(" ") for line in written.getvalue().splitlines()[before:])

        watch.say("Reading the data")
        assert written.getvalue() == "Reading the data\n"
        assert n_lines(search()) == 1
        clock.time += PLAIN_EVERY_S - 0.1
        assert n_lines(search(epochs_done=5)) == 0
        clock.time += 0.1
        assert n_lines(search(epochs_done=6)) == 1
        assert n_lines(search(stage=1)) == 1
        assert n_lines(search(stage=1, activity="training")) == 1
        assert n_lines(search(stage=1, activity="waiting")) == 0, "between two leases"
    assert all(len(line) <= 80 for line in written.getvalue().splitlines())


def test_a_notebook_has_one_line_that_is_written_over() -> None:
    """What is read at the end is what a carriage return leaves."""
    written, clock = io.StringIO(), Clock()
    with Watch(Console(file=written, force_jupyter=True, width=80), clock) as watch:
        watch.say("Reading the data and checking the spec")
        watch.tell("A note.")
        watch.look(search())
        clock.time += 1
        watch.look(search(epochs_done=5))
    lines = [seen_after_returns(line) for line in written.getvalue().split("\n")]
    assert lines[0].rstrip() == "A note."
    assert "5 of 999,999,999,999 epochs" in lines[1]
    assert "123,456" not in lines[1]
    assert lines[2:] == [""]


def seen_after_returns(line: str) -> str:
    seen = ""
    for part in line.split("\r"):
        seen = part + seen[len(part) :]
    return seen
