"""Racing: the stated rate of false drops holds where differences are normal, and clear cases are told."""

from __future__ import annotations

import random

from foldstep.service.planner.racing import FALSE_DROPS, Field, Yardstick, is_clearly_worse, n_first_folds


def field_of(*trials: list[float]) -> Field:
    field = Field(len(trials[0]))
    for folds in trials:
        field.add(folds)
    return field


def test_nobody_is_dropped_while_little_is_known() -> None:
    assert field_of(*([0.1, 0.2, 0.3] for _ in range(6))).yardstick() is None
    assert Field(3).yardstick() is None


def test_incumbent_is_the_best_and_diverged_trials_are_no_rivals() -> None:
    inf = float("inf")
    yardstick = field_of([inf, 0.1, 0.1], *([0.3, 0.4, 0.5 + i / 10] for i in range(8)), [0.2, 0.3, 0.4]).yardstick()
    assert yardstick is not None
    assert yardstick.incumbent == [0.2, 0.3, 0.4]


def test_only_the_clearly_worse_are_dropped() -> None:
    yardstick = Yardstick([0.1, 0.2, 0.3, 0.2, 0.1], spread=0.02, freedom=12)
    assert is_clearly_worse([0.2, 0.3], yardstick)
    assert not is_clearly_worse([0.11, 0.21], yardstick)
    assert not is_clearly_worse([0.05, 0.1], yardstick), "a better one never"
    assert is_clearly_worse([float("inf")], yardstick)


def test_trials_that_would_win_are_dropped_as_seldom_as_stated() -> None:
    """5,000 trials about as good as the incumbent; by chance the count is outside the bound once in 10,000 runs."""
    draw = random.Random(9)
    n_folds, n_seen, n_dropped, n_winners = 5, n_first_folds(5), 0, 0
    for _ in range(5_000):
        decided = [[draw.gauss(0, 1) for _ in range(n_folds)] for _ in range(24)]
        yardstick = field_of(*decided).yardstick()
        assert yardstick is not None
        trial = [draw.gauss(-1, 1) for _ in range(n_folds)]
        if sum(trial) < sum(yardstick.incumbent):
            n_winners += 1
            n_dropped += is_clearly_worse(trial[:n_seen], yardstick)
    assert n_winners > 2_000
    assert 0 < n_dropped <= FALSE_DROPS * n_winners + 4 * (FALSE_DROPS * n_winners) ** 0.5
