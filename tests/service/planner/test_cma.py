"""The evolution that is replayed from a history."""

from __future__ import annotations

import numpy as np

from foldstep.service.contract.space import FloatRange, Space
from foldstep.service.planner.cma import cmaes
from foldstep.service.planner.observed import Observed

SPACE = Space(parameters={"lr": FloatRange(low=0.0, high=1.0), "dropout": FloatRange(low=0.0, high=1.0)})
SIZE, START, POPULATION = 4, 8, 8


def history(n: int, without: frozenset[int] = frozenset()) -> list[Observed]:
    """Trials of which the good ones lie at 0.9."""
    places = np.random.default_rng(0).random((n, 2)).tolist()
    seen = [Observed(i, {"lr": x, "dropout": y}, abs(x - 0.9) + abs(y - 0.9)) for i, (x, y) in enumerate(places)]
    return [one for one in seen if one.position not in without]


def proposals(observed: list[Observed]) -> list[tuple[float, float]]:
    found = cmaes(SPACE, observed, SIZE, np.random.default_rng(1))
    return [(float(str(p["lr"])), float(str(p["dropout"]))) for p, _ in zip(found, range(400), strict=False)]


def test_a_generation_counts_though_one_of_its_trials_failed() -> None:
    before = proposals(history(START))
    whole = proposals(history(START + POPULATION))
    short = proposals(history(START + POPULATION, without=frozenset({START + 2})))
    assert short not in (before, whole)
    centre_before, centre, centre_short = (np.mean(points, axis=0) for points in (before, whole, short))
    assert np.linalg.norm(centre_short - centre) < np.linalg.norm(centre_short - centre_before)


def test_half_a_generation_moves_nothing() -> None:
    assert proposals(history(START + SIZE)) == proposals(history(START))
    lost = frozenset(range(START, START + POPULATION))
    assert proposals(history(START + POPULATION, without=lost)) == proposals(history(START))
