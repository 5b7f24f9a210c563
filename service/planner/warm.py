"""Warm start: the best configurations of an earlier search that lie in the new search's space."""

from __future__ import annotations

from collections.abc import Iterable

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Fixed, Params, Space
from foldstep.service.contract.spec import Spec

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
