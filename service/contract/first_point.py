"""The first trial of a search in a preset's space: the published settings that the space is around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.kinds import Value
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.expansion import sets
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.presets import PRESETS
from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, FloatRange, IntRange, Params
from foldstep.service.contract.spec import Spec


class FirstPoint(NamedTuple):
    """A point of a space, near the settings of a preset.

    Attributes:
        preset: whose settings they are.
        params: the point.
        replaced: parameters whose published value a searched list or range does not have, each with that value.
    """

    preset: str
    params: Params
    replaced: dict[str, Value]


def first_point(spec: Spec, task: Task) -> FirstPoint | None:
    """Find the point of a spec's space that has the settings which its preset's space is around.

    None without such a preset, and with a method that trains every point anyway.
    """
    around = None if spec.preset is None else PRESETS[spec.preset.name].around
    if around is None or METHODS[spec.method].enumerates:
        return None
    published = {name: found.value for name, found in sets(around, task).items() if isinstance(found, Fixed)}
    params: Params = {}
    replaced: dict[str, Value] = {}
    for name in spec.space.ordered():
        if spec.space.is_active(name, params):
            of = spec.space.parameters[name]
            value = published.get(name, _default(name))
            params[name] = of.from_unit(0.5) if value is None else _near(of, value)
            if name in published and params[name] != value and not isinstance(of, Fixed):
                replaced[name] = published[name]
    return FirstPoint(around, params, replaced)


def _default(name: str) -> Value:
    row = lookup(name)
    assert row is not None
    return row.default


def _near(of: Distribution, value: Value) -> Value:
    """Find the value of a distribution that is nearest to another; the first choice where nothing is near."""
    if of.contains(value):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match of:
        case Fixed():
            return of.value
        case Either():
            return _near(of.range, value)
        case FloatRange() | IntRange() if is_number:
            return of.from_unit(0.0 if float(value) <= of.low else min(of.to_unit(value), 1.0))  # type: ignore[arg-type]
        case Choices() if is_number:
            numbers = [c for c in of.choices if isinstance(c, int | float) and not isinstance(c, bool)]
            return min(numbers, key=lambda c: abs(c - value), default=of.choices[0])
    return of.from_unit(0.0)


def first_point_notes(spec: Spec, task: Task) -> Iterator[str]:
    """Say which trial comes first, and where it differs from what is published."""
    found = first_point(spec, task)
    if found is not None:
        params = found.params
        but = "; ".join(f"{name} is {params[name]}, not {value}" for name, value in found.replaced.items())
        yield f"The first trial has the settings of the preset {found.preset}{f' ({but})' if but else ''}."
