"""SMAC's method as an Optuna sampler: a random forest as the surrogate, and expected improvement as the acquisition.

F. Hutter, H. Hoos and K. Leyton-Brown, "Sequential model-based optimization for general algorithm configuration",
LION 2011. Within a batch, as in their "Parallel algorithm configuration", LION 2012: one forest, and for each proposal
after the first a lower confidence bound with another random weight of the uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sklearn.ensemble import RandomForestRegressor

from foldstep.service.contract.space import Params, Space
from foldstep.service.planner.acquisition import expected_improvement, neighbour, random_points
from foldstep.service.planner.observed import normal_scores
from foldstep.service.planner.optuna_space import drawn, from_optuna, to_optuna
from foldstep.service.planner.vectors import INACTIVE, expanded, rows

N_TREES = 50
MIN_LEAF = 3
FEATURE_SHARE = 5 / 6  # of the features, that each split chooses from
N_RANDOM = 1000  # candidate points drawn from the whole space
N_PARENTS, N_CHILDREN, N_ROUNDS = 10, 20, 3  # candidates around the most promising points, in rounds
Array: TypeAlias = npt.NDArray[np.float64]


class ForestSampler(BaseSampler):
    """An Optuna sampler: proposes the points with the greatest expected improvement under a random forest."""

    def __init__(self, space: Space, seed: int) -> None:
        """Prepare without a forest: it is fitted for the first proposal, and again when further trials have ended.

        Args:
            space: the space to search; inactive conditional parameters are imputed as `INACTIVE`.
            seed: seed of all random numbers.
        """
        self._space = space
        self._generator = np.random.default_rng(seed)
        self._random = RandomSampler(seed)
        self._candidates = _Candidates([], np.empty(0), np.empty(0), 0.0)
        self._n_known = 0

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        """List every searched parameter, conditional ones too: a proposal is a whole point."""
        return {name: drawn(self._space.parameters[name]) for name in self._space.searched()}

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Propose the active parameters of the next point; none before the first trial has ended."""
        known = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if len(known) != self._n_known:
            self._n_known = len(known)
            self._candidates = self._looked_at(known)
        params = self._candidates.next(self._generator)
        return {name: to_optuna(self._space.parameters[name], params[name]) for name in search_space if name in params}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a random value; Optuna calls this before there is a forest."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _looked_at(self, known: Sequence[FrozenTrial]) -> _Candidates:
        """Build the candidates: random points, then neighbours of the best trials and of the most promising points."""
        space, generator = self._space, self._generator
        losses = normal_scores([t.value for t in known if t.value is not None])
        tried = [{n: from_optuna(space.parameters[n], x) for n, x in t.params.items()} for t in known]
        forest = _Forest(space, tried, losses, int(generator.integers(2**32)))
        parents = [tried[i] for i in np.argsort(losses, kind="stable")[:N_PARENTS]]
        looked_at = forest.judge(random_points(space, N_RANDOM, generator))
        for _ in range(N_ROUNDS):
            near = [neighbour(space, parent, generator) for parent in parents for _ in range(N_CHILDREN)]
            looked_at = looked_at.with_(forest.judge(near))
            parents = looked_at.most_promising(N_PARENTS)
        return looked_at


class _Candidates(NamedTuple):
    """Candidate points with the forest's prediction for each.

    Attributes:
        mean: shape (points,), expected loss of each point; infinite once it was proposed.
        spread: shape (points,), standard deviation of that loss over the trees.
        best: the least loss so far.
    """

    points: list[Params]
    mean: Array
    spread: Array
    best: float

    def with_(self, more: _Candidates) -> _Candidates:
        return _Candidates(
            [*self.points, *more.points],
            np.concatenate([self.mean, more.mean]),
            np.concatenate([self.spread, more.spread]),
            self.best,
        )

    def improvement(self) -> Array:
        """Compute the expected improvement of each point."""
        return expected_improvement(self.best, self.mean, self.spread)

    def most_promising(self, count: int) -> list[Params]:
        order = np.argsort(-self.improvement(), kind="stable")
        return [self.points[i] for i in order[:count]]

    def next(self, generator: np.random.Generator) -> Params:
        """Take the point of greatest expected improvement; after the first, that of the least lower confidence bound.

        The weight of the standard deviation in a bound is drawn from an exponential distribution for each proposal.
        """
        if not self.points:
            return {}
        if np.isfinite(self.mean).all():
            chosen = int(np.argmax(self.improvement()))
        else:
            chosen = int(np.argmin(self.mean - generator.exponential() * self.spread))
        self.mean[chosen] = np.inf
        return self.points[chosen]


class _Forest:
    """A random forest that predicts the loss of a point from its unit coordinates."""

    def __init__(self, space: Space, tried: Sequence[Params], losses: Array, seed: int) -> None:
        self._space = space
        self._names = space.searched()
        self._best = float(losses.min())
        self._trees = RandomForestRegressor(
            N_TREES, min_samples_leaf=MIN_LEAF, max_features=FEATURE_SHARE, random_state=seed, n_jobs=1
        ).fit(self._rows(tried), losses)

    def judge(self, points: list[Params]) -> _Candidates:
        places = self._rows(points).astype(np.float32)
        by_tree = np.stack([tree.predict(places, check_input=False) for tree in self._trees.estimators_])
        return _Candidates(points, by_tree.mean(axis=0), by_tree.std(axis=0), self._best)

    def _rows(self, points: Sequence[Params]) -> Array:
        return expanded(self._space, self._names, rows(self._space, self._names, points), INACTIVE)
