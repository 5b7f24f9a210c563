"""The combinations of values of several hyperparameters that a space can give to one trial."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Choices, Either, Fixed, FloatRange, IntRange, Params, Space


def combinations(space: Space, names: Iterable[str], *, every_choice: bool = False) -> Iterator[Params]:
    """Yield every combination of values of some hyperparameters, and of those that their conditions refer to.

    A range is represented by its two ends and the values in conditions; that is enough for rules that hold for all
    numbers between two if they hold for both.

    Args:
        space: the space.
        names: hyperparameters; those that the space does not name are left out of the combinations.
        every_choice: whether a list of many numbers, too, is represented by all of them, not as a range is.
    """
    relevant = _with_parents(space, set(names) & set(space.parameters))
    yield from _extend(space, [n for n in space.ordered() if n in relevant], {}, every_choice)


def _with_parents(space: Space, names: set[str]) -> set[str]:
    parents = {other for n in names for other in space.parameters[n].when or {}} - names
    return _with_parents(space, names | parents) if parents else names


def _extend(space: Space, names: Sequence[str], params: Params, every_choice: bool) -> Iterator[Params]:
    if not names:
        yield params
        return
    first, rest = names[0], names[1:]
    values = _values(space, first, every_choice) if space.is_active(first, params) else [None]
    for value in values:
        yield from _extend(space, rest, params if value is None else {**params, first: value}, every_choice)


def _values(space: Space, name: str, every_choice: bool) -> list[Value]:
    distribution = space.parameters[name]
    if isinstance(distribution, Fixed):
        return [distribution.value]
    if isinstance(distribution, Choices):
        return list(distribution.choices) if every_choice else _numbers(space, name, distribution)
    if isinstance(distribution, Either):
        return [*distribution.extra, *_bounds(space, name, distribution.range)]
    return _bounds(space, name, distribution)


def _numbers(space: Space, name: str, of: Choices) -> list[Value]:
    """List choices; of many numbers the least, the greatest and those in conditions, as of a range."""
    if len(of.choices) <= 3 or not all(isinstance(v, int | float) for v in of.choices):
        return list(of.choices)
    ends = [min(of.choices), max(of.choices)]  # type: ignore[type-var]
    return list(dict.fromkeys([*ends, *(v for v in _asked(space, name) if v in of.choices)]))


def _asked(space: Space, name: str) -> list[Value]:
    return [v for d in space.parameters.values() for v in (d.when or {}).get(name, [])]


def _bounds(space: Space, name: str, of: FloatRange | IntRange) -> list[Value]:
    return [of.low, of.high, *(v for v in _asked(space, name) if of.contains(v))]
