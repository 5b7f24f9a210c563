"""Hyperparameters of inputs that have no effect on this table: it has no column of the kind that they are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from foldstep.models.catalog.kinds import Value
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.dataset import Column
from foldstep.service.contract.expansion import asked_for
from foldstep.service.contract.reach import combinations
from foldstep.service.contract.spec import Spec


def _without_gaps(value: Value, features: Sequence[Column]) -> str | None:
    has_gaps = any(column.kind == "number" and column.n_missing for column in features)
    return None if value == "median" or has_gaps else "no number of the inputs is missing"


def _without_texts(value: Value, features: Sequence[Column]) -> str | None:
    has_texts = any(column.kind == "category" for column in features)
    return None if value in (0, 1) or has_texts else "no column is a category"


def _without_many(value: Value, features: Sequence[Column]) -> str | None:
    most = max((column.n_distinct for column in features if column.kind == "category"), default=0)
    if value == 0 or most > value:  # type: ignore[operator]
        return None
    return f"the most categories of a column are {most:,}" if most else "no column is a category"


_REASONS: Mapping[str, Callable[[Value, Sequence[Column]], str | None]] = {
    "missing_value": _without_gaps,
    "category_min_count": _without_texts,
    "max_one_hot": _without_many,
}
"""By name, why a value has no effect beside such features; None where it has one, or is the default."""


def unread_notes(spec: Spec, task: Task, features: Sequence[Column]) -> Iterator[str]:
    """Say which values that a spec has itself change nothing on a table; what a preset sets is not looked at.

    Args:
        spec: the spec.
        task: of its data.
        features: the inputs of the networks.
    """
    own = set(asked_for(spec, task))
    for name, reason in _REASONS.items():
        if name in own:
            values = list(dict.fromkeys(p[name] for p in combinations(spec.space, [name]) if name in p))
            found = {value: why for value in values if (why := reason(value, features)) is not None}
            if found:
                told = ", ".join(map(str, found))
                yield f"{name} {told} has no effect on this table: {next(iter(found.values()))}."
