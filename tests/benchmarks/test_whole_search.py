"""The benchmark of whole searches: other sides train the same configurations; one that learns else is an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.whole_rivals import SIDES
from benchmarks.whole_search import in_order_of, row, run_rival, write_data

CONFIGURATIONS = [
    {"lr": lr, "width": 16, "depth": 1, "activation": "relu", "batch_size": 64, "epochs": 2} for lr in (1e-4, 1e-2)
]


@pytest.mark.parametrize("side", sorted(SIDES.keys() - {"skorch"}))
def test_a_side_trains_every_configuration(side: str, tmp_path: Path) -> None:
    write_data(tmp_path)
    (tmp_path / "configurations.json").write_text(json.dumps(CONFIGURATIONS))
    slow, fast = run_rival(tmp_path, side)
    assert 0 < slow < 0.5 < fast < 1, "two epochs are too few at the lower rate"


@pytest.mark.parametrize("learned", [[0.9, 0.8, 0.7], [0.95, 0.94, 0.97]])
def test_a_side_that_learned_something_else_is_an_error(learned: list[float]) -> None:
    board = [{"score": score} for score in (0.95, 0.96, 0.97)]
    assert row("small", 3, "foldstep", 1.0, [0.95, 0.96, 0.97], board)["rank_correlation"] == 1
    with pytest.raises(AssertionError, match="did not learn the same thing"):
        row("small", 3, "optuna", 1.0, learned, board)


def test_two_leaderboards_are_compared_trial_by_trial() -> None:
    board = [{"trial": 2, "score": 0.9}, {"trial": 0, "score": 0.8}, {"trial": 1, "score": 0.7}]
    other = [{"trial": 0, "score": 0.91}, {"trial": 1, "score": 0.81}, {"trial": 2, "score": 0.71}]
    assert in_order_of(board, other) == [0.71, 0.91, 0.81]
