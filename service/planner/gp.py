"""A Gaussian process with expected improvement: Spearmint's method, cheap enough for long histories.

J. Snoek, H. Larochelle and R. Adams, "Practical Bayesian optimization of machine learning algorithms", NIPS 2012. The
kernel is Matérn 5/2 with a length scale for each parameter, fitted once a batch by maximum a posteriori; within a batch
a proposal counts as observed with its expected loss (T. Desautels, A. Krause and J. Burdick, JMLR 2014), so the next
proposal lies elsewhere.

The distance of two different choices is 1. A trial in which a conditional parameter is not active has a second
coordinate there: a point in the plane beside the middle of the range, at distance 1 from both ends. So distances stay
Euclidean, without which the kernel would not be positive definite.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from foldstep.service.contract.space import Choices, Params, Space
from foldstep.service.planner.acquisition import expected_improvement, neighbour, random_points
from foldstep.service.planner.observed import Observed, levelled, thin
from foldstep.service.planner.vectors import INACTIVE, rows

N_BEST, N_OTHERS = 75, 75  # trials of a long history that the model is fitted to
N_RANDOM = 500  # candidate points drawn from the whole space
N_PARENTS, N_CHILDREN, N_ROUNDS = 10, 20, 3  # candidate points around promising ones, before the first proposal
MOST_POINTS = 800  # candidates in the pool before it is cut to half of this number
N_NEAR, N_FRESH = 3, 4  # most promising candidates, and new candidates around each, before a further proposal
MOST_FRESH = 50  # how often in a batch such candidates are added
MIDDLE, OFF = 0.5, 0.75  # middle of a range; squared distance from it to the point of an inactive parameter
_JITTER = 1e-8
Array: TypeAlias = npt.NDArray[np.float64]


def gp(space: Space, observed: Sequence[Observed], size: int, generator: np.random.Generator) -> Iterator[Params]:
    """Yield proposals of one batch from a Gaussian process fitted to the observed trials."""
    known = thin(observed, N_BEST, N_OTHERS, generator)
    kernel = _Rows(space)
    losses = levelled([o.loss for o in known])
    process = _Process(kernel, kernel.of([o.params for o in known]), losses)
    best = sorted(known, key=lambda o: o.loss)[:N_PARENTS]
    pool = _Pool(kernel, process, random_points(space, N_RANDOM, generator))
    pool.look_near([o.params for o in best], N_CHILDREN, generator)
    for _ in range(N_ROUNDS):
        pool.look_near(pool.most_promising(N_PARENTS), N_CHILDREN, generator)
    for count in itertools.count(1):
        if not pool.size:
            return
        yield pool.take()
        if count % math.ceil(size / MOST_FRESH) == 0:
            pool.look_near(pool.most_promising(N_NEAR), N_FRESH, generator)


class _Rows:
    """Points of a space as rows of coordinates, and the distances between rows."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._names = space.searched()
        self._is_choice = np.array([isinstance(space.parameters[n], Choices) for n in self._names])

    def of(self, points: Sequence[Params]) -> Array:
        return rows(self.space, self._names, points)

    def squared_distances(self, a: Array, b: Array) -> Array:
        """Compute the squared distances by parameter; shape (parameters, rows of a, rows of b)."""
        squared = np.empty((a.shape[1], len(a), len(b)))
        for name, (x, y) in enumerate(zip(a.T, b.T, strict=True)):
            if self._is_choice[name]:
                squared[name] = x[:, None] != y
            else:
                apart = (x[:, None] == INACTIVE) != (y == INACTIVE)
                x, y = np.where(x == INACTIVE, MIDDLE, x), np.where(y == INACTIVE, MIDDLE, y)
                squared[name] = (x[:, None] - y) ** 2 + OFF * apart
        return squared


class _Process:
    """The posterior of the losses, given rows and their losses.

    Attributes:
        scale: prior variance of the losses.
        best: the least posterior mean over the given rows, which is less noisy than the least loss.
    """

    def __init__(self, rows: _Rows, given: Array, losses: Array) -> None:
        self._rows = rows
        self.given = given
        squared = rows.squared_distances(given, given)
        fitted = minimize(
            _misfit, _start(len(squared)), args=(squared, losses), jac=True, method="L-BFGS-B",
            bounds=_bounds(len(squared)), options={"maxiter": 50},
        ).x  # fmt: skip
        self._inverse_lengths, self.scale, self._noise = np.exp(fitted[:-2]), np.exp(fitted[-2]), np.exp(fitted[-1])
        prior = self.covariance(given, given)
        self.root = cholesky(prior + (self._noise + _JITTER) * np.eye(len(given)), lower=True)
        self._weights = cho_solve((self.root, True), losses)
        self.best = float((prior @ self._weights).min())

    @property
    def noise(self) -> float:
        """Variance of an observed loss around its expectation."""
        return float(self._noise) + _JITTER

    def covariance(self, a: Array, b: Array) -> Array:
        distance = np.einsum("pij,p->ij", self._rows.squared_distances(a, b), self._inverse_lengths)
        return np.asarray(self.scale * _matern(distance)[0])

    def mean(self, covariance: Array) -> Array:
        """Compute expected losses from covariances; shape (given rows, other rows) to (other rows,)."""
        return np.asarray(covariance.T @ self._weights)


class _Pool:
    """Candidate points with the mean and variance of the loss of each."""

    def __init__(self, rows: _Rows, process: _Process, points: Sequence[Params]) -> None:
        self._rows, self._process = rows, process
        self._points: list[Params] = []
        self._places = rows.of([])
        self._mean = np.empty(0)
        self._variance = np.empty(0)
        self._root = process.root
        self._given = process.given
        self._solved = np.empty((len(self._given), 0))
        self._add(points)

    @property
    def size(self) -> int:
        """How many points there are."""
        return len(self._points)

    def look_near(self, parents: Sequence[Params], n_children: int, generator: np.random.Generator) -> None:
        """Add `n_children` neighbours of each parent; a pool that grew too large first drops its least promising."""
        if len(self._points) > MOST_POINTS:
            self._keep(np.argsort(-self._improvement(), kind="stable")[: MOST_POINTS // 2])
        self._add([neighbour(self._rows.space, parent, generator) for parent in parents for _ in range(n_children)])

    def most_promising(self, count: int) -> list[Params]:
        return [self._points[i] for i in np.argsort(-self._improvement(), kind="stable")[:count]]

    def take(self) -> Params:
        """Take the most promising point out of the pool; from then on it counts as observed with its expected loss."""
        chosen = int(np.argmax(self._improvement()))
        place, params = self._places[chosen : chosen + 1], self._points[chosen]
        own = self._solved[:, chosen]
        pivot = float(np.sqrt(max(self._variance[chosen], 0.0) + self._process.noise))
        row = (self._process.covariance(place, self._places)[0] - own @ self._solved) / pivot
        self._variance = self._variance - row * row
        self._solved = np.vstack([self._solved, row])
        corner = np.zeros((len(self._root), 1))
        self._root = np.block([[self._root, corner], [own[None, :], np.array([[pivot]])]])
        self._given = np.vstack([self._given, place])
        self._keep(np.delete(np.arange(len(self._points)), chosen))
        return params

    def _improvement(self) -> Array:
        spread = np.sqrt(np.maximum(self._variance, 0.0))
        return expected_improvement(self._process.best, self._mean, spread)

    def _keep(self, chosen: npt.NDArray[np.intp]) -> None:
        self._points = [self._points[i] for i in chosen]
        self._places, self._solved = self._places[chosen], self._solved[:, chosen]
        self._mean, self._variance = self._mean[chosen], self._variance[chosen]

    def _add(self, points: Sequence[Params]) -> None:
        places = self._rows.of(points)
        covariance = self._process.covariance(self._given, places)
        solved = solve_triangular(self._root, covariance, lower=True)
        self._points += points
        self._places = np.vstack([self._places, places])
        self._mean = np.append(self._mean, self._process.mean(covariance[: len(self._process.given)]))
        self._variance = np.append(self._variance, self._process.scale - (solved * solved).sum(axis=0))
        self._solved = np.hstack([self._solved, solved])


def _matern(squared: Array) -> tuple[Array, Array]:
    """Compute the Matérn 5/2 correlation at squared distances, and its derivative with respect to them."""
    distance = np.sqrt(5 * squared)
    decay = np.exp(-distance)
    return (1 + distance + distance * distance / 3) * decay, -5 / 6 * (1 + distance) * decay


def _start(n_parameters: int) -> Array:
    """Make the start of the fit: logarithms of the inverse squared length scales, of the scale and of the noise."""
    return np.append(np.zeros(n_parameters), [0.0, np.log(1e-2)])


def _bounds(n_parameters: int) -> list[tuple[float, float]]:
    return [(-9.0, 9.0)] * n_parameters + [(-4.0, 4.0), (np.log(1e-6), 0.0)]


def _misfit(theta: Array, squared: Array, losses: Array) -> tuple[float, Array]:
    """Compute the negative logarithm of the posterior of the kernel's parameters, and its gradient.

    Marginal likelihood: Rasmussen and Williams 2006, equations 5.8 and 5.9. The priors are normal in the logarithms:
    few parameters matter, so small inverse squared length scales are preferred, and so is small noise.
    """
    inverse_lengths, scale, noise = np.exp(theta[:-2]), np.exp(theta[-2]), np.exp(theta[-1])
    correlation, slope = _matern(np.einsum("pij,p->ij", squared, inverse_lengths))
    root = cholesky(scale * correlation + (noise + _JITTER) * np.eye(len(losses)), lower=True)
    weights = cho_solve((root, True), losses)
    inverse = cho_solve((root, True), np.eye(len(losses)))
    outer = inverse - np.outer(weights, weights)
    by_lengths = np.einsum("pij,ij->p", squared, outer * slope) * scale * inverse_lengths
    gradient = 0.5 * np.append(by_lengths, [(outer * correlation).sum() * scale, np.trace(outer) * noise])
    middle, width = _prior(len(squared))
    off = (theta - middle) / width
    value = 0.5 * losses @ weights + np.log(np.diag(root)).sum() + 0.5 * off @ off
    return float(value), gradient + off / width


def _prior(n_parameters: int) -> tuple[Array, Array]:
    middle = np.append(np.full(n_parameters, -1.0), [0.0, np.log(1e-3)])
    return middle, np.append(np.full(n_parameters, 2.0), [1.0, 2.0])
