"""The tree-structured Parzen estimator: proposes points where good trials are dense and other trials are not.

J. Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011, in the form that models parameters
together (S. Falkner, A. Klein and F. Hutter, "BOHB", ICML 2018): points are drawn around good trials, and of several
the one with the greatest ratio of the densities is taken. The number of good trials and the widths and weights of the
kernels are those of Optuna's TPESampler; its own code takes many times as long, because it loops over trials.

Conditional parameters are drawn in groups: those with the same conditions, from the trials in which they are active.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtr, ndtri

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Choices, Distribution, Fixed, FloatRange, IntRange, Params, Space
from foldstep.service.planner.observed import Observed, thin
from foldstep.service.planner.vectors import coordinate

GOOD_SHARE, MAX_GOOD = 0.1, 25  # share and greatest number of trials that count as good
N_BEST, N_OTHERS = 50, 200  # trials of a long history that the model is fitted to
N_CANDIDATES = 24
FULL_WEIGHT = 25  # newest trials with full weight; older ones have less, falling with age
LEAST_WIDTH = 0.01  # least width of a kernel, in units of the range
MANY = 1000  # a range of more values is treated as continuous
_TINY = 1e-300
Array: TypeAlias = npt.NDArray[np.float64]


def tpe(space: Space, observed: Sequence[Observed], _size: int, generator: np.random.Generator) -> Iterator[Params]:
    """Yield proposals of one batch; each then counts as a bad trial (constant liar), which keeps proposals apart."""
    known = thin(observed, N_BEST, N_OTHERS, generator)
    ranked = sorted(known, key=lambda o: o.loss)
    n_good = min(math.ceil(GOOD_SHARE * len(known)), MAX_GOOD)
    good = [o.params for o in sorted(ranked[:n_good], key=lambda o: o.position)]
    others = [o.params for o in sorted(ranked[n_good:], key=lambda o: o.position)]
    models = [_Model(group, good, others) for group in _groups(space)]
    while True:
        params: Params = {}
        for model in models:
            if model.group.is_active(params):
                params |= model.draw(generator)
        yield params


class _Group:
    """Parameters with the same conditions, as the columns of a matrix.

    A column holds unit coordinates, or the numbers of choices. A range of few values is cut into cells, one for each.
    """

    def __init__(self, space: Space, names: Sequence[str]) -> None:
        self._space = space
        self.names = names
        self.distributions = [space.parameters[n] for n in names]
        self.n_choices = np.array([_n_choices(d) for d in self.distributions])
        self.n_cells = np.array([_n_cells(d) for d in self.distributions])

    def is_active(self, params: Params) -> bool:
        """Tell whether the conditions of these parameters hold, given the values of earlier groups."""
        return self._space.is_active(self.names[0], params)

    def rows(self, trials: Sequence[Params]) -> Array:
        """Convert the trials in which the group is active to rows; shape (such trials, parameters)."""
        rows = [
            [_number(d, p[n]) for n, d in zip(self.names, self.distributions, strict=True)]
            for p in trials
            if self.names[0] in p
        ]
        return np.array(rows).reshape(len(rows), len(self.names))

    def params(self, row: Array) -> Params:
        """Convert a row, shape (parameters,), to hyperparameters."""
        return {
            n: d.choices[int(x)] if isinstance(d, Choices) else d.from_unit(float(x))
            for n, d, x in zip(self.names, self.distributions, row, strict=True)
        }


class _Model:
    """The densities of the good and of the other trials, for one group of parameters."""

    def __init__(self, group: _Group, good: Sequence[Params], others: Sequence[Params]) -> None:
        self.group = group
        self._good = _Density(group, group.rows(good))
        self._others = group.rows(others)

    def draw(self, generator: np.random.Generator) -> Params:
        """Draw points from the good density and take that of the greatest ratio; it then counts as a bad trial."""
        points = self._good.draw(N_CANDIDATES, generator)
        ratio = self._good.log_density(points) - _Density(self.group, self._others).log_density(points)
        chosen = points[int(np.argmax(ratio))]
        self._others = np.vstack([self._others, chosen])
        return self.group.params(chosen)


class _Density:
    """A mixture of kernels: one around each row, and a broad one over the whole space, so that no point has density 0.

    A kernel is a product over parameters: a normal distribution truncated to the range, or, for a list of choices,
    probabilities with the most weight on the row's choice.
    """

    def __init__(self, group: _Group, rows: Array) -> None:
        n = len(rows)
        self._group = group
        self._ranges = np.flatnonzero(group.n_choices == 0)
        self._choices = np.flatnonzero(group.n_choices)
        weights = np.append(_weights(n), 1.0)
        self._weights = weights / weights.sum()
        places = rows[:, self._ranges]
        self._centres = np.vstack([places, np.full((1, len(self._ranges)), 0.5)])
        self._widths = np.vstack([_widths(places), np.ones((1, len(self._ranges)))])
        self._below = ndtr(-self._centres / self._widths)
        self._mass = ndtr((1 - self._centres) / self._widths) - self._below
        self._shares = [_shares(rows[:, c].astype(int), int(group.n_choices[c])) for c in self._choices]

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Draw random rows from the mixture; shape (count, parameters)."""
        kernels = generator.choice(len(self._weights), count, p=self._weights)
        points = np.empty((count, len(self._group.names)))
        quantiles = self._below[kernels] + generator.random((count, len(self._ranges))) * self._mass[kernels]
        places = self._centres[kernels] + self._widths[kernels] * ndtri(quantiles)
        points[:, self._ranges] = self._snapped(np.clip(places, 0.0, 1.0))
        for column, shares in zip(self._choices, self._shares, strict=True):
            cumulative = shares[kernels].cumsum(axis=1)
            points[:, column] = (generator.random((count, 1)) * cumulative[:, -1:] > cumulative).sum(axis=1)
        return points

    def log_density(self, points: Array) -> Array:
        """Compute the log density at rows; a range that is cut into cells contributes its cell's probability."""
        logs = np.log(self._weights) + self._log_kernels(points[:, self._ranges])
        for column, shares in zip(self._choices, self._shares, strict=True):
            logs = logs + np.log(shares[:, points[:, column].astype(int)]).T
        return np.asarray(logsumexp(logs, axis=1))

    def _log_kernels(self, places: Array) -> Array:
        """Compute the log of the product over the ranges; shape (points, kernels)."""
        n_cells = self._group.n_cells[self._ranges]
        half = np.where(n_cells > 0, 0.5 / np.maximum(n_cells, 1), 0.0)
        z = (places[:, None, :] - self._centres) / self._widths
        log_normal = -0.5 * z**2 - np.log(self._widths)
        if half.any():
            high, low = (ndtr(z + sign * half / self._widths) for sign in (1, -1))
            log_normal = np.where(half > 0, np.log(np.maximum(high - low, _TINY)), log_normal)
        return np.asarray((log_normal - np.log(self._mass)).sum(axis=2))

    def _snapped(self, places: Array) -> Array:
        """Move places to the middle of their cell, where the range is cut into cells; shape (points, ranges)."""
        n_cells = np.maximum(self._group.n_cells[self._ranges], 1)
        middles = (np.minimum(np.floor(places * n_cells), n_cells - 1) + 0.5) / n_cells
        return np.where(self._group.n_cells[self._ranges] > 0, middles, places)


def _groups(space: Space) -> list[_Group]:
    """Group parameters by their conditions; a group comes after the groups that its conditions refer to."""
    names: dict[str, list[str]] = {}
    for name in space.ordered():
        names.setdefault(json.dumps(space.parameters[name].when, sort_keys=True), []).append(name)
    return [_Group(space, group) for group in names.values()]


def _n_choices(distribution: Distribution) -> int:
    return len(distribution.choices) if isinstance(distribution, Choices) else int(isinstance(distribution, Fixed))


def _n_cells(distribution: Distribution) -> int:
    """Count the values of a range with even steps; 0 where it is logarithmic, continuous or has more than `MANY`."""
    if not isinstance(distribution, FloatRange | IntRange) or distribution.log:
        return 0
    n = distribution.n_values
    return n if n is not None and n <= MANY else 0


def _number(distribution: Distribution, value: Value) -> float:
    if isinstance(distribution, FloatRange) and (n := _n_cells(distribution)):
        return (distribution.index_of(value) + 0.5) / n
    return 0.0 if isinstance(distribution, Fixed) else coordinate(distribution, value)


def _weights(n: int) -> Array:
    """Compute the weights of n kernels, oldest first: 1 for the newest, rising linearly from 1 / n before them."""
    return np.concatenate([np.linspace(1 / max(n, 1), 1, max(0, n - FULL_WEIGHT)), np.ones(min(n, FULL_WEIGHT))])


def _widths(places: Array) -> Array:
    """Compute the widths of the kernels, by column: the greater distance to a neighbour or an end of the range.

    With two or more rows, the distances from the outermost rows to the ends do not count.
    """
    n, n_columns = places.shape
    order = places.argsort(axis=0, kind="stable")
    ends = np.zeros((1, n_columns)), np.ones((1, n_columns))
    gaps = np.diff(np.vstack([ends[0], np.take_along_axis(places, order, axis=0), ends[1]]), axis=0)
    if n >= 2:  # the outermost kernels would be as wide as the empty rest
        gaps[0], gaps[-1] = 0.0, 0.0
    widths = np.empty_like(places)
    np.put_along_axis(widths, order, np.maximum(gaps[:-1], gaps[1:]), axis=0)
    return np.clip(widths, max(LEAST_WIDTH, 1 / (n + 2)), 1.0)


def _shares(chosen: npt.NDArray[np.int_], n_choices: int) -> Array:
    """Compute the probabilities of choices, shape (kernels, choices): most on the row's choice; uniform in the last."""
    n = len(chosen)
    shares = np.full((n + 1, n_choices), 1 / (n + 1))
    shares[np.arange(n), chosen] += 1
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
