"""Ranges with extra values (`or`) for the models: as a choice, and a range that is there only for one of its values.

Models know choices, ranges and conditions; so none of them has to know such ranges. The choice gets a name that no
hyperparameter has.
"""

from __future__ import annotations

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Choices, Distribution, Either, Params, Space

IN_RANGE = "in the range"


def split(space: Space) -> Space:
    """Replace every range with extra values by a choice and a conditional range."""
    parameters: dict[str, Distribution] = {}
    for name, distribution in space.parameters.items():
        when = _conditions(distribution, space)
        if isinstance(distribution, Either):
            parameters[_switch(name)] = Choices(choices=[*distribution.extra, IN_RANGE], when=when)
            when = {_switch(name): [IN_RANGE]}
            distribution = distribution.range
        parameters[name] = distribution.model_copy(update={"when": when})
    return Space(parameters=parameters)


def to_split(params: Params, space: Space) -> Params:
    """Convert a configuration of a space to one of the split space."""
    found: Params = {}
    for name, value in params.items():
        distribution = space.parameters.get(name)
        if isinstance(distribution, Either):
            is_extra = value in distribution.extra
            found[_switch(name)] = value if is_extra else IN_RANGE
            if is_extra:
                continue
        found[name] = value
    return found


def from_split(params: Params, space: Space) -> Params:
    """Convert a configuration of the split space back."""
    found: Params = {}
    for name in space.parameters:
        value = params.get(_switch(name), IN_RANGE)
        if value != IN_RANGE:
            found[name] = value
        elif name in params:
            found[name] = params[name]
    return found


def _switch(name: str) -> str:
    return f"{name} or"


def _conditions(distribution: Distribution, space: Space) -> dict[str, list[Value]] | None:
    """Write conditions on extra values as such on the choice; a condition has values of one sort alone."""
    if distribution.when is None:
        return None
    found: dict[str, list[Value]] = {}
    for other, values in distribution.when.items():
        parent = space.parameters.get(other)
        is_extra = isinstance(parent, Either) and any(value in parent.extra for value in values)
        found[_switch(other) if is_extra else other] = list(values)
    return found
