"""Rungs: verdicts are a function of what trials reached, whoever came first, and everybody gets one."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from foldstep.service.contract.spec import EarlyStopSpec
from foldstep.service.planner.rungs import Climber, Rung, block_size, bracket, decide, ladder

EPOCHS, N_FOLDS = 30, 3
RULES = st.builds(
    EarlyStopSpec,
    rungs=st.sampled_from(["asha", "hyperband", "none"]),
    eta=st.integers(2, 4),
    min_epochs=st.integers(1, 4),
    race_folds=st.booleans(),
)


class Trials:
    """A search without networks: what each trial will score is known, and which of them trains next is drawn."""

    def __init__(self, rules: EarlyStopSpec, losses: Sequence[float], order: random.Random) -> None:
        self.rules, self.order = rules, order
        self.ladders = [ladder(rules, i, EPOCHS, N_FOLDS) for i in range(len(losses))]
        self.best = losses
        self.reached: list[list[list[float]]] = [[] for _ in losses]
        self.open = set(range(len(losses)))  # in training, or waiting for it
        self.planned = 0

    def folds(self, i: int, rung: Rung | None) -> list[float]:
        epoch, n = (EPOCHS, N_FOLDS) if rung is None else (rung.epoch, rung.folds or N_FOLDS)
        noise = random.Random(i)
        return [self.best[i] + noise.gauss(0, 0.3) + 3 / epoch for _ in range(N_FOLDS)][:n]

    def climbers(self) -> list[Climber]:
        return [Climber(i, self.reached[i], len(self.ladders[i]), is_lost=self.is_lost(i)) for i in range(self.planned)]

    def is_lost(self, i: int) -> bool:
        return math.isinf(self.best[i]) and i not in self.open

    def train(self, i: int) -> None:
        """One trial to its next rung, or to its end."""
        rungs, reached = self.ladders[i], self.reached[i]
        self.open.remove(i)
        if math.isinf(self.best[i]):
            return
        at = rungs[len(reached)] if len(reached) < len(rungs) else None
        scores = self.folds(i, at)
        reached += [scores] if at is not None else [scores] * (len(rungs) + 1 - len(reached))

    def decide(self) -> None:
        climbers = self.climbers()
        is_closed = self.planned == len(self.best)
        verdicts = decide(self.rules, climbers, n_folds=N_FOLDS, is_closed=is_closed)
        self.open |= {c.index for c in climbers if c.present is not None and c.index in verdicts[c.present].on}

    def run(self) -> list[int]:
        """Train in the drawn order to the end; returns how many rungs each trial came to."""
        while True:
            ready = sorted(i for i in self.open if i < self.planned)
            if self.planned < len(self.best) and (not ready or self.order.random() < 0.5):
                self.planned += 1
            elif ready:
                self.train(self.order.choice(ready))
                self.decide()
            else:
                return [len(r) for r in self.reached]


@settings(max_examples=60, deadline=None)
@given(
    rules=RULES,
    losses=st.lists(st.floats(0, 5) | st.just(math.inf), min_size=1, max_size=40),
    seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)),
)
def test_verdicts_do_not_depend_on_who_comes_first(
    rules: EarlyStopSpec, losses: list[float], seeds: tuple[int, int]
) -> None:
    one, other = (Trials(rules, losses, random.Random(seed)) for seed in seeds)
    assert one.run() == other.run()
    for i, rungs in enumerate(one.ladders):
        assert one.reached[i] or math.isinf(losses[i]), "every trial is begun"
        if len(one.reached[i]) > len(rungs):
            assert one.reached[i][-1] == one.folds(i, None)
    finite = [i for i in range(len(losses)) if math.isfinite(losses[i])]
    assert not finite or any(len(one.reached[i]) > len(one.ladders[i]) for i in finite), "somebody comes to the end"


@settings(max_examples=60, deadline=None)
@given(rules=RULES, losses=st.lists(st.floats(0, 5), min_size=1, max_size=40))
def test_in_the_end_everybody_has_a_verdict(rules: EarlyStopSpec, losses: list[float]) -> None:
    trials = Trials(rules, losses, random.Random(0))
    trials.run()
    verdicts = decide(rules, trials.climbers(), n_folds=N_FOLDS, is_closed=True)
    for c in trials.climbers():
        if c.present is not None:
            assert c.index in verdicts[c.present].off
    for verdict in verdicts:
        assert not verdict.on & verdict.off


def climbers(*losses: float, n_rungs: int = 1) -> list[Climber]:
    return [Climber(i, [[loss]] if math.isfinite(loss) else [], n_rungs) for i, loss in enumerate(losses)]


ASHA = EarlyStopSpec()
GOOD_FIRST = [float(i) for i in range(18)]


def test_a_block_waits_for_its_last_trial() -> None:
    nine = GOOD_FIRST[:9]
    (verdict,) = decide(ASHA, climbers(*nine[:8], math.inf), n_folds=1, is_closed=False)
    assert (verdict.on, verdict.off) == (set(), set())
    (verdict,) = decide(ASHA, climbers(*nine), n_folds=1, is_closed=False)
    assert (verdict.on, verdict.off) == ({0, 1, 2}, set(range(3, 9)))
    (verdict,) = decide(ASHA, climbers(*nine, 0.5), n_folds=1, is_closed=False)
    assert verdict.on == {0, 1, 2}, "the next block is not whole yet"
    (verdict,) = decide(ASHA, climbers(*nine, 0.5), n_folds=1, is_closed=True)
    assert verdict.on == {0, 1, 2, 9}, "the last one is as small as it is"


def test_a_trial_left_behind_goes_on_when_later_ones_are_worse() -> None:
    (verdict,) = decide(ASHA, climbers(*GOOD_FIRST), n_folds=1, is_closed=False)
    assert verdict.on == set(range(6))
    (verdict,) = decide(ASHA, climbers(*reversed(GOOD_FIRST)), n_folds=1, is_closed=False)
    assert verdict.on == {6, 7, 8, *range(12, 18)}, "three of the first block, which went on when they were the best"


def test_a_lost_trial_counts_and_does_not_go_on() -> None:
    lost = [Climber(i, [], 1, is_lost=True) for i in range(9)]
    (verdict,) = decide(ASHA, lost, n_folds=1, is_closed=True)
    assert not verdict.on
    (verdict,) = decide(ASHA, [*lost[:8], Climber(8, [[4.0]], 1)], n_folds=1, is_closed=True)
    assert verdict.on == {8}


def test_ladders() -> None:
    assert [r.epoch for r in ladder(ASHA, 0, 30, 5)] == [1, 3, 9, 27]
    assert [r.epoch for r in ladder(ASHA, 0, 27, 5)] == [1, 3, 9], "the last epoch is no rung"
    assert ladder(ASHA, 0, 1, 5) == []
    racing = EarlyStopSpec(rungs="none", race_folds=True)
    assert ladder(racing, 0, 30, 5) == [Rung(30, 2)]
    assert ladder(racing, 0, 30, 1) == []
    both = EarlyStopSpec(min_epochs=5, race_folds=True)
    assert ladder(both, 0, 30, 3) == [Rung(5, 1), Rung(5, None), Rung(15, None)]


def test_brackets_follow_from_the_number_in_hyperbands_shares() -> None:
    rules = EarlyStopSpec(rungs="hyperband")
    size = block_size(rules)
    assert [sum(bracket(rules, i) == b for i in range(size)) for b in range(3)] == [9, 5, 3]
    assert [bracket(rules, i) for i in range(size)] == [bracket(rules, i + size) for i in range(size)]
    assert [r.epoch for r in ladder(rules, size - 1, 30, 5)] == [9, 27]


@pytest.mark.parametrize("n", [10_000])
def test_ten_thousand_trials_are_decided_in_one_sweep(n: int) -> None:
    """N log n, not n squared: a sweep block by block over everybody would take minutes."""
    draw = random.Random(1)
    verdicts = decide(ASHA, climbers(*(draw.random() for _ in range(n))), n_folds=1, is_closed=True)
    assert n // 3 <= len(verdicts[0].on) < 0.36 * n
