"""The first leases of a search with a time budget, before any trial has told how fast workers are."""

from __future__ import annotations

import pytest

from foldstep.service.flow.context import Context
from tests.service.scenes import Hand, new_search


@pytest.mark.parametrize(("epochs", "expected"), [(50_000, 4), (100_000, 2), (10**6, 1)])
def test_the_first_leases_of_a_time_budget_are_small_where_networks_train_long(
    context: Context, epochs: int, expected: int
) -> None:
    """178 rows, two folds, (1, 128, 3): 6 · 643 · 178 operations an epoch, so 50,000 of them take 1.7 s."""
    parameters = {"lr": {"low": 0.001, "high": 0.1}, "width": 128, "depth": 1, "epochs": epochs}
    new_search(context, budget={"time": "30s"}, parameters=parameters)
    held = Hand(context).take(1000)
    assert held.problem.n_folds == 2
    assert len(held.trials) == expected
