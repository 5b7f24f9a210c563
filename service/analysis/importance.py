"""Which hyperparameters matter: functional analysis of variance over a random forest (Hutter et al. 2014, fANOVA).

A forest learns the loss of a trial from its point of the space. Averaged over random points, its predictions along one
hyperparameter are the marginal effect; the effect's variance is the importance, and the variance that two have together
beyond both alone is their interaction. Marginals are estimated at random points (Monte Carlo) instead of summed over
the trees' leaves, so conditions of the space hold in them. The cost is bounded: a long history is thinned.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from foldstep.service.analysis.table import Numbers, TrialTable
from foldstep.service.contract.insight import EffectPoint, Interaction
from foldstep.service.contract.space import EXTRA_SHARE, Choices, Distribution, Either, Space
from foldstep.service.planner.vectors import INACTIVE, expanded, rows, rows_of_units

MAX_TRIALS = 1500
"""A longer history is thinned to this number: half of them are its best trials, the others a random sample."""
N_TREES = 48
N_PLACES = 192
N_GRID, N_PAIR_GRID = 15, 6
MAX_PAIRED = 6
"""Interactions are computed among this number of the most important hyperparameters."""
NOTHING = 0.0
"""Value of the one-hot columns of a list of choices in a trial where that hyperparameter is not active."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Anova:
    """The shares of variance, and the marginal effects.

    Attributes:
        fit: R² on the trees' left-out trials (out of bag).
        importance: share of the variance, 0 to 1, by name.
        effects: marginal effects by name, with losses as `score`.
        interactions: the strongest first.
    """

    fit: float
    importance: Mapping[str, float]
    effects: Mapping[str, list[EffectPoint]]
    interactions: list[Interaction]


def anova(table: TrialTable, seed: int = 0) -> Anova:
    """Compute importances, effects and interactions from a stage of some trials."""
    generator = np.random.default_rng(seed)
    places, losses = _thinned(table, generator)
    forest, fit = _forest(expanded(table.space, table.names, places, NOTHING), losses, seed)
    surface = _Surface(table.space, table.names, forest, generator)
    effects = {name: _with_trials(surface.effect(name), table, name) for name in table.names}
    variances = {name: float(np.var([p.score for p in points])) for name, points in effects.items()}
    first = sorted(table.names, key=lambda name: -variances[name])[:MAX_PAIRED]
    joint = {pair: surface.interaction(*pair) for pair in itertools.combinations(first, 2)}
    # all of these are estimates: the sum of the parts must not exceed the total
    total = max(surface.variance, sum(variances.values()) + sum(joint.values()))
    if total <= (_ROUNDING * float(np.abs(losses).max())) ** 2:
        total = math.inf  # all losses are equal but for rounding
    importance = {name: v / total for name, v in variances.items()}
    pairs = [Interaction(parameters=pair, importance=v / total) for pair, v in joint.items()]
    return Anova(fit, importance, effects, sorted(pairs, key=lambda pair: -pair.importance))


def _with_trials(points: list[EffectPoint], table: TrialTable, name: str) -> list[EffectPoint]:
    """Count the trials at each point of an effect: of each choice, or of each of the equal parts of a range."""
    column = table.places[:, table.names.index(name)]
    known = column[column != INACTIVE]
    is_choice = isinstance(table.space.parameters[name], Choices)
    at = known if is_choice else np.minimum(known * len(points), len(points) - 1)
    counts = np.bincount(at.astype(np.int64), minlength=len(points))
    return [p.model_copy(update={"trials": int(n)}) for p, n in zip(points, counts, strict=True)]


def _thinned(table: TrialTable, generator: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Keep the best half of `MAX_TRIALS` and a random sample of the rest; the table's trials come best first."""
    n = len(table.losses)
    if n <= MAX_TRIALS:
        return table.places, table.losses
    half = MAX_TRIALS // 2
    rest = half + generator.choice(n - half, MAX_TRIALS - half, replace=False)
    rows = np.concatenate([np.arange(half), np.sort(rest)])
    return table.places[rows], table.losses[rows]


def _forest(places: Numbers, losses: Numbers, seed: int) -> tuple[RandomForestRegressor, float]:
    forest = RandomForestRegressor(
        N_TREES, min_samples_leaf=3, max_features=0.7, oob_score=True, random_state=seed, n_jobs=1
    )
    forest.fit(places, losses)
    return forest, float(forest.oob_score_)


class _Surface:
    """The forest's predictions over the space."""

    def __init__(
        self, space: Space, names: Sequence[str], forest: RandomForestRegressor, generator: np.random.Generator
    ) -> None:
        self._space, self._names, self._forest = space, names, forest
        self._points = [dict(zip(names, row, strict=True)) for row in generator.random((N_PLACES, len(names)))]
        self._is_conditional = any(space.parameters[n].when for n in names)
        self.variance = float(np.var(self._predict(self._points)))

    def effect(self, name: str) -> list[EffectPoint]:
        """Compute the marginal effect along one hyperparameter, over the random points where it is active."""
        distribution = self._space.parameters[name]
        points = []
        for u in _grid(distribution, N_GRID):
            moved = [p for p in ({**point, name: u} for point in self._points) if self._has(name, p)]
            trees = self._by_tree(moved or [{**self._points[0], name: u}])
            value = distribution.from_unit(u)
            spread = float(trees.mean(axis=1).std())
            points.append(EffectPoint(value=value, score=float(trees.mean()), spread=spread, trials=0))
        return points

    def interaction(self, one: str, other: str) -> float:
        """Compute the variance of the joint marginal of two hyperparameters that neither explains alone (ANOVA)."""
        grids = [_grid(self._space.parameters[n], N_PAIR_GRID) for n in (one, other)]
        sample = self._points[: N_PLACES // 2]
        cells = list(itertools.product(*grids))
        predicted = self._predict([{**p, one: u, other: v} for u, v in cells for p in sample])
        means = predicted.reshape(*map(len, grids), -1).mean(axis=2)
        return float(np.var(means - means.mean(axis=0) - means.mean(axis=1, keepdims=True)))

    def _has(self, name: str, point: Mapping[str, float]) -> bool:
        return not self._is_conditional or name in self._space.from_unit(point)

    def _places(self, points: Sequence[Mapping[str, float]]) -> Numbers:
        if not self._is_conditional:
            units = np.array([[p[n] for n in self._names] for p in points])
            places = rows_of_units(self._space, self._names, units)
        else:
            places = rows(self._space, self._names, [self._space.from_unit(p) for p in points])
        return expanded(self._space, self._names, places, NOTHING)

    def _predict(self, points: Sequence[Mapping[str, float]]) -> Numbers:
        return np.asarray(self._forest.predict(self._places(points)))

    def _by_tree(self, points: Sequence[Mapping[str, float]]) -> Numbers:
        """Predict with each tree alone; shape (trees, points)."""
        places = self._places(points).astype(np.float32)
        return np.stack([tree.predict(places) for tree in self._forest.estimators_])


def _grid(distribution: Distribution, n: int) -> list[float]:
    """List unit coordinates along a hyperparameter: the middle of each choice's part, or n evenly spaced ones."""
    if isinstance(distribution, Choices):
        return [(i + 0.5) / len(distribution.choices) for i in range(len(distribution.choices))]
    if isinstance(distribution, Either):
        n_extra = len(distribution.extra)
        extra = [(i + 0.5) / n_extra * EXTRA_SHARE for i in range(n_extra)]
        return extra + [EXTRA_SHARE + (1 - EXTRA_SHARE) * u for u in _grid(distribution.range, n)]
    return [(i + 0.5) / n for i in range(n)]
