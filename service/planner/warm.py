"""Where a search begins that knows another one: with the best of its configurations that are in the new space."""

from __future__ import annotations

from collections.abc import Iterable

from foldstep.models.hyperparameters import Value, lookup
from foldstep.service.contract.space import Fixed, Params, Space
from foldstep.service.contract.spec import Spec

MOST = 5
SHARE = 1 / 4  # of the first stage's trials, at most
MOST_LOOKED_AT = 500
"""Of the old search's trials, the best that may be taken over."""
_OF_THE_SEARCH = frozenset({"seed", "epochs"})
"""Set anew by every search that does not name them."""


def warm_configurations(ranked: Iterable[Params], spec: Spec, *, n_trials: int | None) -> list[Params]:
    """The first of `ranked` that the space contains, each once.

    Args:
        ranked: the old search's configurations, the best first.
        spec: of the new search.
        n_trials: of its first stage; None for no limit.
    """
    count = MOST if n_trials is None else min(MOST, int(n_trials * SHARE))
    found: list[Params] = []
    for old in ranked:
        params = as_point(old, spec.space)
        if params is not None and params not in found and len(found) < count:
            found.append(params)
    return found


def as_point(old: Params, space: Space) -> Params | None:
    """A configuration as a point of a space; None where the space does not contain it.

    What the space does not name must have its default, or the trial would be another one.
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
