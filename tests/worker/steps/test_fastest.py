"""Of several ways to take the same steps, the fastest is found by going each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.steps.fastest import ENOUGH, FastestSteps, Timings, host_stopwatch

BATCHES = cast("EpochBatches", None)  # nobody here looks at them


class Way:
    """Takes steps of a known length on a clock of the test's."""

    columns = 8

    def __init__(self, clock: list[float], seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.steps: list[range] = []

    def run(self, _batches: EpochBatches, steps: range, _before: int, **_how: bool) -> Tensor:
        self.steps.append(steps)
        self.clock[0] += self.seconds * len(steps)
        return torch.tensor([float(len(steps))])


def race(timings: Timings, epochs: int, lengths: Sequence[int] = (10, 11, 12), **seconds: float) -> list[str]:
    """Who takes each epoch of a pack whose ways take so many seconds a step; epochs have `lengths` in turn."""
    clock, taken = [0.0], []

    def stopwatch() -> Callable[[], Callable[[], float]]:
        begun = clock[0]

        def stop() -> Callable[[], float]:
            passed = clock[0] - begun
            return lambda: passed

        return stop

    ways = {name: Way(clock, each) for name, each in seconds.items()}
    steps = FastestSteps(cast("dict[str, Any]", ways), timings, stopwatch)
    for epoch in range(epochs):
        for way in ways.values():
            way.steps.clear()
        n_steps = lengths[epoch % len(lengths)]
        assert steps.run(BATCHES, range(n_steps), 0).item() == n_steps
        assert [s for way in ways.values() for s in way.steps if s] == [range(n_steps)], "taken once, and whole"
        taken += [name for name, way in ways.items() if way.steps]
    return taken


@pytest.mark.parametrize("fastest", ["a", "b", "c"])
def test_the_fastest_goes_on(fastest: str) -> None:
    seconds = {name: 0.5 if name == fastest else 1.0 for name in "abc"}
    taken = race(Timings(), 20, **seconds)
    n_known = 3 * (1 + ENOUGH)
    assert taken[:n_known] == [name for name in "abc" for _ in range(1 + ENOUGH)], "once to warm up, then timed"
    assert set(taken[n_known:]) == {fastest}


def test_it_is_the_time_of_a_step_that_counts() -> None:
    """The slower way is timed in the short epochs."""
    lengths = (10, 100, 100, 10, 10, 10)
    assert race(Timings(), 9, lengths, a=1.0, b=1.5)[6:] == ["a"] * 3


def test_the_next_pack_of_the_shape_knows() -> None:
    timings = Timings()
    race(timings, 10, a=1.0, b=0.5)
    assert race(timings, 3, a=1.0, b=0.5) == ["b"] * 3


def test_what_one_pack_did_not_come_to_the_next_one_finds_out() -> None:
    timings, taken = Timings(), list[str]()
    for _ in range(12):  # trainings of three epochs: the first one warms up, and what the last one takes is never read
        taken += race(timings, 3, a=1.0, b=0.5)
    assert taken[-3:] == ["b"] * 3


def test_a_way_that_failed_is_not_gone_again() -> None:
    timings = Timings()
    timings.fail("b")
    assert set(race(timings, 12, a=1.0, b=0.5, c=2.0)) == {"a", "c"}


def test_the_hosts_stopwatch_reads_what_has_passed() -> None:
    read = host_stopwatch()()
    assert read() == read() >= 0
