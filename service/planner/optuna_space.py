"""Conversion of spaces and values to Optuna's distributions, and back.

Choices and steps are represented by their indices: values of choices may be lists, and steps may not end at the upper
bound. Whole numbers of a very long range are rounded from a real one, since some samplers list all values of a range.
"""

from __future__ import annotations

from typing import TypeAlias

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, create_trial

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Choices, Distribution, Fixed, FloatRange, IntRange, Params, Space
from foldstep.service.planner.observed import Observed

MANY = 10_000
Drawn: TypeAlias = CategoricalDistribution | FloatDistribution | IntDistribution


def drawn(distribution: Distribution) -> Drawn:
    """Build the Optuna distribution for a searched parameter."""
    if isinstance(distribution, Choices):
        return CategoricalDistribution(range(len(distribution.choices)))
    if isinstance(distribution, IntRange) and distribution.log:
        low, high = distribution.low, distribution.high
        return FloatDistribution(low - 0.5, high + 0.5, log=True) if _is_long(distribution) else IntDistribution(
            low, high, log=True)  # fmt: skip
    if isinstance(distribution, IntRange):
        last = distribution.n_values - 1
        return FloatDistribution(-0.5, last + 0.5) if _is_long(distribution) else IntDistribution(0, last)
    assert isinstance(distribution, FloatRange)
    if distribution.n_values is not None:
        return IntDistribution(0, distribution.n_values - 1)
    return FloatDistribution(distribution.low, distribution.high, log=distribution.log)


def from_optuna(distribution: Distribution, x: float) -> Value:
    """Convert Optuna's number to the value that it stands for; the inverse of `to_optuna`."""
    if isinstance(distribution, Choices):
        return distribution.choices[int(x)]
    if isinstance(distribution, IntRange) and distribution.log:
        return _within(distribution, round(x))
    if isinstance(distribution, IntRange):
        return distribution.value_at(min(max(round(x), 0), distribution.n_values - 1))
    assert isinstance(distribution, FloatRange)
    if distribution.step is not None:
        return distribution.value_at(int(x))
    return min(max(float(x), distribution.low), distribution.high)


def to_optuna(distribution: Distribution, value: Value) -> float:
    """Convert a value to the number that Optuna stores for it."""
    if isinstance(distribution, Choices):
        return distribution.choices.index(value)
    assert isinstance(distribution, IntRange | FloatRange)
    assert isinstance(value, int | float)
    if isinstance(distribution, IntRange) and distribution.log:
        return value
    if distribution.step is None:
        return value
    return distribution.index_of(value)


def suggest(trial: Trial, space: Space) -> Params:
    """Ask an Optuna trial for a point of the space; a parameter comes after those in its condition."""
    params: Params = {}
    for name in space.ordered():
        if space.is_active(name, params):
            distribution = space.parameters[name]
            params[name] = (
                distribution.value
                if isinstance(distribution, Fixed)
                else from_optuna(distribution, _suggest(trial, name, drawn(distribution)))
            )
    return params


def finished(space: Space, observed: Observed) -> FrozenTrial:
    """Convert an observed trial to a finished Optuna trial."""
    names = [n for n in observed.params if not isinstance(space.parameters[n], Fixed)]
    return create_trial(
        params={n: to_optuna(space.parameters[n], observed.params[n]) for n in names},
        distributions={n: drawn(space.parameters[n]) for n in names},
        value=observed.loss,
    )


def _suggest(trial: Trial, name: str, wanted: Drawn) -> float:
    if isinstance(wanted, CategoricalDistribution):
        return float(trial.suggest_categorical(name, wanted.choices))  # type: ignore[arg-type]
    if isinstance(wanted, IntDistribution):
        return trial.suggest_int(name, wanted.low, wanted.high, log=wanted.log)
    return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)


def _is_long(distribution: IntRange) -> bool:
    return distribution.n_values > MANY


def _within(distribution: IntRange, x: int) -> int:
    return min(max(x, distribution.low), distribution.high)
