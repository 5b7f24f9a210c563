"""Of several ways to take the same steps, the fastest is found by going each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.steps.agreement import Compared, Difference
from foldstep.worker.steps.fastest import COMPARED, ENOUGH, FastestSteps, Timings, host_stopwatch

KINDS = frozenset({"adam"})
UNCOVERED = 3
"""Steps of an epoch that no way but the plain one takes."""
BATCHES = cast("EpochBatches", None)  # nobody here looks at them


class Both:
    """A comparison of ways whose numbers nobody has; those named are wrong."""

    def __init__(self, ways: dict[str, Way], plain: Way, wrong: str) -> None:
        self.ways, self.plain, self.wrong = ways, plain, wrong

    def run(self, fast: Any, batches: EpochBatches, steps: range, before: int) -> Compared:
        is_wrong = any(way is fast and name in self.wrong for name, way in self.ways.items())
        losses = [way.run(batches, steps, before) for way in (self.plain, fast)][not is_wrong]
        return Compared(losses, Difference((0, 0), "loss", 0.5, 1e-6) if is_wrong else None)


class Way:
    """Takes steps of a known length on a clock of the test's."""

    columns = 8

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.steps: list[range] = []

    def covers(self, steps: range, _before: int) -> bool:
        return len(steps) != UNCOVERED

    def prepare(self, _batches: EpochBatches, _before: int) -> None:
        """There is nothing to prepare."""

    def run(self, _batches: EpochBatches, steps: range, _before: int, **_how: bool) -> Tensor:
        self.steps.append(steps)
        self.clock[0] += self.seconds * len(steps)
        return torch.tensor([float(len(steps))])


def race(
    timings: Timings, epochs: int, lengths: Sequence[int] = (10, 11, 12), wrong: str = "", **seconds: float
) -> list[str]:
    """The ways that take each epoch of a pack, the plain one first where both do.

    Args:
        timings: of packs of its shape.
        epochs: how many there are.
        lengths: their steps, in turn.
        wrong: the ways that are wrong.
        seconds: a step of each way.
    """
    clock, taken = [0.0], list[str]()

    def stopwatch() -> Callable[[], Callable[[], float]]:
        begun = clock[0]

        def stop() -> Callable[[], float]:
            passed = clock[0] - begun
            return lambda: passed

        return stop

    ways, plain = {name: Way(clock, each) for name, each in seconds.items()}, Way(clock, 1.0)
    steps = FastestSteps(
        cast("dict[str, Any]", ways), cast("Any", plain), Both(ways, plain, wrong), KINDS, timings, stopwatch
    )
    for epoch in range(epochs):
        everyone = {"plain": plain} | ways
        for way in everyone.values():
            way.steps.clear()
        n_steps = lengths[epoch % len(lengths)]
        assert steps.run(BATCHES, range(n_steps), 0).item() == n_steps
        by = [name for name, way in everyone.items() if way.steps]
        assert [s for way in everyone.values() for s in way.steps] == [range(n_steps)] * len(by), "taken whole"
        taken.append(" ".join(by))
    return taken


@pytest.mark.parametrize("fastest", ["a", "b", "c"])
def test_the_fastest_goes_on(fastest: str) -> None:
    seconds = {name: 0.5 if name == fastest else 1.0 for name in "abc"}
    taken = race(Timings(), 20, **seconds)
    n_known = 3 * (COMPARED + ENOUGH)
    found_out = [[f"plain {name}"] * COMPARED + [name] * ENOUGH for name in "abc"]
    assert taken[:n_known] == [way for ways in found_out for way in ways], "compared, then timed"
    assert set(taken[n_known:]) == {fastest}


def test_it_is_the_time_of_a_step_that_counts() -> None:
    """The slower way is timed in the short epochs."""
    lengths = (10, 10, 100, 100, 10, 10, 10, 10)
    assert race(Timings(), 11, lengths, a=1.0, b=1.5)[8:] == ["a"] * 3


def test_the_next_pack_of_the_shape_knows() -> None:
    timings = Timings()
    race(timings, 10, a=1.0, b=0.5)
    assert timings.agrees("a", KINDS)
    assert not timings.agrees("a", KINDS | {"lion"}), "another kind of member is trained by other code"
    assert race(timings, 3, a=1.0, b=0.5) == ["b"] * 3


def test_what_one_pack_did_not_come_to_the_next_one_finds_out() -> None:
    timings, taken = Timings(), list[str]()
    for _ in range(12):  # trainings of three epochs: the first one warms up, and the time of the last one is never read
        taken += race(timings, 3, a=1.0, b=0.5)
    assert taken[-3:] == ["b"] * 3


def test_a_way_that_failed_is_not_gone_again() -> None:
    timings = Timings()
    timings.fail("b")
    assert set(race(timings, 12, a=1.0, b=0.5, c=2.0)) == {"plain a", "a", "plain c", "c"}


def test_a_wrong_way_is_out_however_fast_it_is(caplog: pytest.LogCaptureFixture) -> None:
    timings = Timings()
    taken = race(timings, 12, a=0.1, b=1.0, wrong="a")
    assert taken == ["plain a", *["plain b"] * COMPARED, *["b"] * (11 - COMPARED)]
    assert set(race(timings, 3, a=0.1, b=1.0)) == {"b"}, "for good"
    assert [r.getMessage() for r in caplog.records] == [
        "steps are not taken by a, for it is wrong: of trial 0, fold 0, the loss differs by 0.5 of its size, of which "
        "rounding explains 1e-06"
    ]


def test_a_right_way_that_is_slow_is_not_gone_on_with() -> None:
    assert race(Timings(), 12, a=9.0, b=1.0)[-4:] == ["b"] * 4


def test_where_all_ways_are_wrong_the_plain_one_goes_on() -> None:
    assert race(Timings(), 6, a=0.1, b=0.1, wrong="ab") == ["plain a", "plain b", *["plain"] * 4]


def test_an_epoch_that_a_way_does_not_cover_is_the_plain_ones() -> None:
    """It says nothing of the way, neither of its values nor of its time."""
    timings = Timings()
    assert race(timings, 6, (UNCOVERED,), a=0.1) == ["plain"] * 6
    assert not timings.agrees("a", KINDS)
    assert race(timings, 3, a=0.1) == [*["plain a"] * COMPARED, "a"]


def test_the_hosts_stopwatch_reads_what_has_passed() -> None:
    read = host_stopwatch()()
    assert read() == read() >= 0
