"""Write a spec as a user would: every key that has not its default, and the parameters in the form of a spec."""

from __future__ import annotations

from typing import Any

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, FloatRange, IntRange
from foldstep.service.contract.spec import NOT_WRITTEN, Spec

_ALWAYS = ("name", "method", "seed", "data", "cv", "metric", "parameters", "budget")
"""Keys that are written also where they have their default, in this order; the rest follows in that of the record."""


def written(spec: Spec, *, trials: int | None = None) -> dict[str, Any]:
    """Write a resolved spec as JSON's values; parsed again it is the same spec.

    Args:
        spec: a spec in which nothing is left out.
        trials: how many it has where its budget says nothing.
    """
    given = spec.model_dump(mode="json", exclude_defaults=True, exclude={"space", *NOT_WRITTEN})
    given |= {"method": spec.method, "seed": spec.seed, "cv": spec.cv.model_dump(mode="json", exclude_defaults=True)}
    given["parameters"] = written_parameters(spec)
    if "budget" not in given:
        given["budget"] = {} if trials is None else {"trials": trials}
    first = {name: given[name] for name in _ALWAYS if name in given}
    return {**first, **given}


def written_parameters(spec: Spec) -> dict[str, Any]:
    """Write all parameters of a spec; its preset is named with them, for its settings are those of the first trial."""
    preset = {} if spec.preset is None else {"preset": spec.preset.name}
    return {**preset, **{name: written_distribution(of) for name, of in spec.space.parameters.items()}}


def written_distribution(of: Distribution) -> Any:
    """Write one distribution as a spec has it."""
    if of.when is None and isinstance(of, Fixed) and not isinstance(of.value, dict):
        return _value(of.value)
    if of.when is None and isinstance(of, Choices):
        return list(map(_value, of.choices))
    return {**_form(of), **({} if of.when is None else {"when": of.when})}


def _form(of: Distribution) -> dict[str, Any]:
    match of:
        case Fixed():
            return {"value": _value(of.value)}
        case Choices():
            return {"choices": list(map(_value, of.choices))}
        case Either():
            return {**_range(of.range), "or": list(map(_value, of.extra))}
        case FloatRange() | IntRange():
            return _range(of)


def _range(of: FloatRange | IntRange) -> dict[str, Any]:
    form: dict[str, Any] = {"low": of.low, "high": of.high}
    if of.log:
        form["log"] = True
    if of.step not in (None, 1) or (of.step is not None and isinstance(of, FloatRange)):
        form["step"] = of.step
    return form


def _value(value: Value) -> Any:
    """Copy a value into JSON's: lists of widths, weights of classes."""
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, list | tuple) else value
