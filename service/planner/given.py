"""Configurations that users give: each is read as a point of a space, or refused with its faults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from foldstep.models.catalog.hyperparameters import REGISTRY, lookup
from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.hints import unknown_key
from foldstep.service.contract.parameters import read_parameter
from foldstep.service.contract.space import Fixed, Params, Space
from foldstep.service.contract.written import written_distribution


def read_point(
    given: Mapping[str, Any], space: Space, constants: Mapping[str, Value], path: str, *, skip_inactive: bool = False
) -> tuple[Params | None, list[Fault]]:
    """Read a configuration; what it leaves out has the space's only value, or else its default.

    Args:
        given: name to value; None where there is no value.
        space: the space that it must lie in.
        constants: values of the search that its space does not decide, as `seed`; a configuration may repeat them.
        path: of the configuration in what the user sent.
        skip_inactive: ignore the value of a hyperparameter whose condition does not hold; else it is a fault.

    Returns:
        The point, None where there are faults.
    """
    values, faults = _values({name: value for name, value in given.items() if value is not None}, path)
    for name in [name for name in values if name in constants or name not in space.parameters]:
        faults += _constant_faults(name, values.pop(name), constants, path)
    point: Params = {}
    for name in space.ordered():
        if not space.is_active(name, point):
            faults += [] if skip_inactive else _inactive_faults(name, values, space, path)
        elif (value := values.get(name, _left_out(name, space))) is None:
            if not faults:  # else it may be what was refused
                faults.append(Fault(code="missing", path=f"{path}.{name}", expected=_one_of(name, space)))
            return None, faults
        else:
            faults += _outside(name, value, space, path)
            point[name] = value
    return (None if faults else point), faults


def _values(given: Mapping[str, Any], path: str) -> tuple[dict[str, Value], list[Fault]]:
    """Convert each value to its hyperparameter's type."""
    values: dict[str, Value] = {}
    faults: list[Fault] = []
    for name, value in given.items():
        row = lookup(name)
        if row is None:
            faults.append(unknown_key(f"{path}.{name}", name, REGISTRY))
            continue
        found, own = read_parameter(name, row, value)
        faults += [_moved(fault, path) for fault in own]
        if isinstance(found, Fixed):
            values[name] = found.value
        elif found is not None:
            expected = f"one value of {name}"
            faults.append(Fault(code="wrong_form", path=f"{path}.{name}", expected=expected, got=str(value)))
    return values, faults


def _moved(fault: Fault, path: str) -> Fault:
    return fault.model_copy(update={"path": f"{path}.{fault.path.removeprefix('parameters.')}"})


def _constant_faults(name: str, value: Value, constants: Mapping[str, Value], path: str) -> Iterator[Fault]:
    row = lookup(name)
    assert row is not None
    own = constants.get(name, row.default)
    if value != own:
        hint = "leave it out, or begin a search whose parameters have it"
        yield Fault(
            code="not_searched", path=f"{path}.{name}", expected=f"{own}, its value in this search", got=str(value),
            hint=hint,
        )  # fmt: skip


def _inactive_faults(name: str, values: Mapping[str, Value], space: Space, path: str) -> Iterator[Fault]:
    if name in values:
        when = json.dumps(space.parameters[name].when)
        yield Fault(
            code="not_active", path=f"{path}.{name}", expected=f"no value, for it counts only when {when}",
            got=str(values[name]), hint="leave it out",
        )  # fmt: skip


def _left_out(name: str, space: Space) -> Value | None:
    distribution = space.parameters[name]
    if isinstance(distribution, Fixed):
        return distribution.value
    row = lookup(name)
    default = None if row is None else row.default
    return default if default is not None and distribution.contains(default) else None


def _outside(name: str, value: Value, space: Space, path: str) -> Iterator[Fault]:
    if not space.parameters[name].contains(value):
        yield Fault(
            code="outside_of_space", path=f"{path}.{name}", expected=_one_of(name, space), got=str(value),
            hint="to go beyond it, begin a search of a wider space; warm_start takes the best of this one along",
        )  # fmt: skip


def _one_of(name: str, space: Space) -> str:
    form = written_distribution(space.parameters[name])
    return f"a value of {json.dumps(form)}, as this search has it"


def point_key(params: Mapping[str, Value], space: Space) -> str:
    """Write what tells points of a space apart: the values of the searched hyperparameters."""
    return json.dumps([(name, params[name]) for name in space.searched() if name in params], sort_keys=True)
