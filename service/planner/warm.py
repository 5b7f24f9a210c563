"""Warm start: the best configurations of an earlier search, or of elsewhere, that lie in the new search's space."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import NoneType

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.space import Fixed, Params, Space
from foldstep.service.contract.spec import Spec, WarmConfigurations
from foldstep.service.planner.given import read_point

MOST = 5
SHARE = 1 / 4  # greatest share of the first stage's trials that are taken over
MOST_LOOKED_AT = 500
"""Number of the old search's best trials that are considered."""
_OF_THE_SEARCH = frozenset({"seed", "epochs"})
"""Hyperparameters that are not taken over, unless the new spec searches them."""


def warm_configurations(ranked: Iterable[Params], spec: Spec, *, n_trials: int | None) -> list[Params]:
    """Select the first configurations of `ranked` that the new space contains, each once.

    Args:
        ranked: the old search's configurations, the best first.
        spec: the new search's spec.
        n_trials: number of trials of its first stage; None for no limit.
    """
    count = MOST if n_trials is None else min(MOST, int(n_trials * SHARE))
    found: list[Params] = []
    for old in ranked:
        params = as_point(old, spec.space)
        if params is not None and params not in found and len(found) < count:
            found.append(params)
    return found


@dataclass
class GivenStart:
    """What becomes of configurations that a user gave.

    Attributes:
        params: those that are trained first.
        notes: what was left out, one sentence each.
        faults: of names and values that no space has.
    """

    params: list[Params] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


_OUTSIDE = frozenset({"outside_of_space", "not_searched", "missing"})
"""Codes of what another space may have."""


def given_start(given: WarmConfigurations, spec: Spec, *, n_trials: int | None) -> GivenStart:
    """Select the first of the configurations that the space contains, each once.

    Args:
        given: the configurations, the best first.
        spec: the search's spec.
        n_trials: number of trials of its first stage; None for no limit.
    """
    found, outside, n_repeated = GivenStart(), [], 0
    fixed = {name for name in _OF_THE_SEARCH if isinstance(spec.space.parameters.get(name), Fixed | NoneType)}
    for place, one in enumerate(given.configurations):
        own = {name: value for name, value in one.items() if name not in fixed}
        path = f"warm_start.configurations.{place}"
        params, faults = read_point(own, spec.space, {}, path, skip_inactive=True)
        found.faults += [fault for fault in faults if fault.code not in _OUTSIDE]
        outside += faults[:1] if params is None else []
        n_repeated += params in found.params
        if params is not None and params not in found.params:
            found.params.append(params)
    found.notes += _given_notes(len(given.configurations), outside, n_repeated)
    most = len(found.params) if n_trials is None else int(n_trials * SHARE)
    if len(found.params) > most:
        found.notes.append(
            f"warm_start: the first {most} of {len(found.params)} configurations come first, which is a quarter of "
            f"{n_trials} trials; a larger budget takes more, and `foldstep enqueue` adds any."
        )
        del found.params[most:]
    return found


def _given_notes(n_given: int, outside: list[Fault], n_repeated: int) -> list[str]:
    notes = []
    if outside:
        notes.append(
            f"warm_start: {len(outside)} of {n_given} configurations are no points of the space, and are left out; "
            f"the first such fault: {outside[0].model_copy(update={'hint': None})}."
        )
    if n_repeated:
        notes.append(f"warm_start: {n_repeated} of {n_given} configurations repeat others, and are left out.")
    return notes


def as_point(old: Params, space: Space) -> Params | None:
    """Convert a configuration to a point of a space; None where the space does not contain it.

    A hyperparameter that the space does not name must have its default value, otherwise the trial would differ.
    """
    if any(name not in space.parameters and value != _default(name) for name, value in _free(old)):
        return None
    params: Params = {}
    for name in space.ordered():
        if space.is_active(name, params):
            value = _value(name, old, space)
            if value is None:
                return None
            params[name] = value
    return params if space.contains(params) else None


def _value(name: str, old: Params, space: Space) -> Value | None:
    distribution = space.parameters[name]
    if name in _OF_THE_SEARCH and isinstance(distribution, Fixed):
        return distribution.value
    return old.get(name, _default(name))


def _free(old: Params) -> list[tuple[str, Value]]:
    return [(name, value) for name, value in old.items() if name not in _OF_THE_SEARCH]


def _default(name: str) -> Value | None:
    known = lookup(name)
    return None if known is None else known.default
