"""Reads the `parameters` of a spec: a bare value, a list, or a distribution, also with the keys of W&B sweeps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from foldstep.models.catalog.hyperparameters import REGISTRY, lookup
from foldstep.models.catalog.kinds import Hyperparameter, Kind, Value
from foldstep.service.contract.bounds import MAX_CHOICES, MAX_CONDITION
from foldstep.service.contract.errors import MAX_FAULTS, Fault
from foldstep.service.contract.fields import boolean_from_text, number_from_text
from foldstep.service.contract.hints import unknown_key, unlisted, value_hint
from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, FloatRange, IntRange, Space

_RANGE_KEYS = {"low", "high", "log", "step"}
_KEYS = {*_RANGE_KEYS, "choices", "value", "when", "or"}
_CHOICE_KEYS = {"choices", "values", "value", "when", "distribution"}
_WANDB_NAMES = {"min": "low", "max": "high", "values": "choices", "q": "step"}
_WANDB_LOG = {
    "uniform": False,
    "int_uniform": False,
    "q_uniform": False,
    "log_uniform_values": True,
    "q_log_uniform_values": True,
    "categorical": None,
    "constant": None,
}


def read_parameter(name: str, row: Hyperparameter, given: Any) -> tuple[Distribution | None, list[Fault]]:
    """Read one distribution; None, with its faults, where it is not valid."""
    reader = _Reader(name, row, MAX_FAULTS)
    return reader.read(given), reader.faults


def parse_parameters(
    raw: Any, beside: Callable[[Mapping[str, Distribution]], Mapping[str, Distribution]] = dict
) -> tuple[dict[str, Distribution], list[Fault]]:
    """Read the distributions of a spec; return those that are valid by name, and all faults of the others.

    Args:
        raw: what the user wrote.
        beside: adds those of a preset, to which conditions may refer.
    """
    if not isinstance(raw, Mapping):
        return {}, [_fault("wrong_type", "parameters", "a mapping of names to distributions", raw)]
    found: dict[str, Distribution] = {}
    faults: list[Fault] = []
    for name, given in raw.items():
        row = lookup(str(name))
        if row is None:
            is_listed = len(faults) < MAX_FAULTS
            faults.append(unknown_key(f"parameters.{name}", str(name), REGISTRY) if is_listed else unlisted())
            continue
        reader = _Reader(str(name), row, MAX_FAULTS - len(faults))
        distribution = reader.read(given)
        faults += reader.faults
        if distribution is not None:
            found[str(name)] = distribution
    return found, faults + _structure_faults(found) + _condition_faults(beside(found), raw)


def _fault(code: str, path: str, expected: str, got: Any, hint: str | None = None) -> Fault:
    return Fault(code=code, path=path, expected=expected, got=repr(got), hint=hint)


class _Reader:
    """The reading of one parameter, with the faults found in it."""

    def __init__(self, name: str, row: Hyperparameter, n_listed: int) -> None:
        self.path = f"parameters.{name}"
        self._n_listed = n_listed  # faults that are put into words
        self.row = row
        self._as_written: dict[str, str] = {}  # keys of W&B, by the keys that they stand for
        self.faults: list[Fault] = []

    def read(self, given: Any) -> Distribution | None:
        """Read the parameter; the paths of its faults have the keys that the user wrote."""
        distribution = self._read(given)
        for key, written in self._as_written.items():
            old, new = f"{self.path}.{key}", f"{self.path}.{written}"
            self.faults = [
                fault.model_copy(update={"path": new + fault.path.removeprefix(old)})
                if f"{fault.path}.".startswith(f"{old}.") else fault
                for fault in self.faults
            ]  # fmt: skip
        return distribution

    def _read(self, given: Any) -> Distribution | None:
        if isinstance(given, Mapping) and not self._is_class_weights(given):
            return self._mapping(self._from_wandb(dict(given)))
        is_widths = self.row.kind is Kind.WIDTHS and isinstance(given, list)
        if isinstance(given, list) and not (is_widths and all(isinstance(v, int) for v in given)):
            return self._choices(given, self.path, None)
        return self._fixed(given, self.path, None)

    def _is_class_weights(self, given: Mapping[Any, Any]) -> bool:
        """Tell whether a mapping gives a weight for each class; it does not if it has a key of a distribution."""
        return self.row.kind is Kind.CLASS_WEIGHT and not set(given) & _CHOICE_KEYS

    def _from_wandb(self, given: dict[str, Any]) -> dict[str, Any]:
        kind = given.pop("distribution", None)
        self._as_written = {_WANDB_NAMES[k]: k for k in given if k in _WANDB_NAMES}
        renamed = {_WANDB_NAMES.get(k, k): v for k, v in given.items()}
        if kind is None:
            return renamed
        if not isinstance(kind, str) or kind not in _WANDB_LOG:
            hint = value_hint("distribution", kind, _WANDB_LOG)
            if "log" in str(kind):
                hint = "write values, never exponents: low, high, log: true, or log_uniform_values"
            self._add("not_supported", "distribution", "one of " + ", ".join(_WANDB_LOG), kind, hint)
            return renamed
        log = _WANDB_LOG[kind]
        return renamed if log is None else {**renamed, "log": log}

    def _mapping(self, given: dict[str, Any]) -> Distribution | None:
        for key in given:
            if key not in _KEYS:
                self._add_made(partial(unknown_key, f"{self.path}.{key}", str(key), sorted(_KEYS)))
        when = self._when(given.get("when"))
        forms = [f for f in ("value", "choices") if f in given] + (["low/high"] if {"low", "high"} & set(given) else [])
        if len(forms) != 1:
            self._add("wrong_form", None, "exactly one of value, choices, or low and high", sorted(map(str, given)))
            return None
        if "or" in given and "low/high" not in forms:
            hint = "leave it out, a list of choices may have any value"
            self._add("wrong_form", "or", "low and high with or", sorted(map(str, given)), hint)
            return None
        if "value" in given:
            return self._fixed(given["value"], f"{self.path}.value", when)
        if "choices" in given:
            return self._choices(given["choices"], f"{self.path}.choices", when)
        return self._range(given, when)

    def _when(self, given: Any) -> dict[str, list[Value]] | None:
        if given is None:
            return None
        if not isinstance(given, Mapping) or not given:
            self._add("wrong_type", "when", "a mapping of another parameter to its value or values", given)
            return None
        when = {str(k): list(v) if isinstance(v, list) else [v] for k, v in given.items()}
        for name, values in when.items():
            if len(values) > MAX_CONDITION:
                self._add("too_large", f"when.{name}", f"at most {MAX_CONDITION:,} values", f"{len(values):,}")
                return None
        return when

    def _fixed(self, given: Any, path: str, when: dict[str, list[Value]] | None) -> Fixed | None:
        value = self._value(given, path)
        return None if value is None else Fixed(value=value, when=when)

    def _choices(self, given: Any, path: str, when: dict[str, list[Value]] | None) -> Choices | None:
        if not isinstance(given, list) or not given:
            self.faults.append(_fault("empty_choices", path, "a list of at least one value", given))
            return None
        if len(given) > MAX_CHOICES:
            hint = "take fewer, or a range"
            self.faults.append(_fault("too_large", path, f"at most {MAX_CHOICES:,} values", len(given), hint))
            return None
        values = [self._value(v, f"{path}.{i}") for i, v in enumerate(given)]
        kept: list[Value] = [v for v in values if v is not None]
        if len({json.dumps(v, sort_keys=True) for v in kept}) < len(kept):  # equal values have one type by now
            self.faults.append(_fault("duplicate_choice", path, "each value once", given))
        return Choices(choices=kept, when=when) if len(kept) == len(given) else None

    def _value(self, given: Any, path: str) -> Value:
        """Convert a value to the hyperparameter's type; None, with a fault added, where it is outside the domain."""
        value = given
        if self.row.kind in (Kind.FLOAT, Kind.INT):
            value = number_from_text(given)
        if self.row.kind is Kind.INT and isinstance(value, float) and value.is_integer():
            value = int(value)
        if self.row.kind is Kind.CLASS_WEIGHT and isinstance(given, Mapping):
            value = {str(label): number_from_text(weight) for label, weight in given.items()}
        if not self.row.allows(value):
            self._add_made(lambda: self._out_of_domain(given, path))
            return None
        return float(value) if self.row.kind is Kind.FLOAT else value

    def _out_of_domain(self, given: Any, path: str) -> Fault:
        is_word = self.row.kind is Kind.CHOICE
        hint = value_hint(self.row.name, given, self.row.choices) if is_word else None
        return _fault("out_of_domain", path, self.row.domain, given, hint)

    def _range(self, given: dict[str, Any], when: dict[str, list[Value]] | None) -> Distribution | None:
        if self.row.kind not in (Kind.FLOAT, Kind.INT):
            self._add("wrong_form", None, f"choices, for {self.row.name} has no range", given)
            return None
        missing = [key for key in ("low", "high") if key not in given]
        for key in missing:
            self.faults.append(
                Fault(code="missing", path=f"{self.path}.{key}", expected="the other bound of the range")
            )
        low, high = (self._value(given[k], f"{self.path}.{k}") if k in given else None for k in ("low", "high"))
        log = boolean_from_text(given.get("log", False))
        if not isinstance(log, bool):
            self._add("wrong_type", "log", "true or false", log)
            return None
        step = self._step(given.get("step"))
        if low is None or high is None:
            return None
        return self._either(given, self._checked_range(low, high, log, step, when))

    def _either(self, given: dict[str, Any], range_: FloatRange | IntRange | None) -> Distribution | None:
        """Join a range with the values of `or` that a draw may be instead."""
        if range_ is None or "or" not in given:
            return range_
        extra = given["or"] if isinstance(given["or"], list) else [given["or"]]
        if not extra:
            self._add("empty_choices", "or", "at least one value", given["or"])
        if len(extra) > MAX_CHOICES:
            self._add("too_large", "or", f"at most {MAX_CHOICES:,} values", len(extra))
            return None
        before = len(self.faults)
        values = [self._value(v, f"{self.path}.or.{i}") for i, v in enumerate(extra)]
        for i, value in enumerate(values):
            if value is not None and range_.low <= value <= range_.high:  # type: ignore[operator]
                expected = f"a value outside of the range, {range_.low:g} to {range_.high:g}"
                self._add("out_of_domain", f"or.{i}", expected, value)
        if len(self.faults) == before and len(set(map(repr, values))) < len(values):
            self._add("duplicate_choice", "or", "each value once", given["or"])
        if len(self.faults) > before or not extra:
            return None
        return Either(range=range_.model_copy(update={"when": None}), extra=values, when=range_.when)

    def _step(self, given: Any) -> float | None:
        step = number_from_text(given)
        if given is None:
            return None
        whole = isinstance(step, int) or (isinstance(step, float) and step.is_integer())
        bad = not isinstance(step, int | float) or isinstance(step, bool) or not math.isfinite(step) or step <= 0
        if bad or (self.row.kind is Kind.INT and not whole):
            noun = "a whole number" if self.row.kind is Kind.INT else "a number"
            self._add("out_of_domain", "step", f"{noun} above 0", given)
            return None
        return float(step)

    def _checked_range(
        self, low: Value, high: Value, log: bool, step: float | None, when: dict[str, list[Value]] | None
    ) -> FloatRange | IntRange | None:
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        before = len(self.faults)
        if low > high:
            self._add("reversed_range", None, "low at most high", f"{low} to {high}", "swap low and high")
        if log and low <= 0:
            self._add("log_not_positive", "low", "a number above 0, for the range is logarithmic", low)
        if log and step is not None:
            self._add("wrong_form", "step", "no step in a logarithmic range", step, "list the values instead")
        if len(self.faults) > before:
            return None
        if self.row.kind is Kind.INT:
            return IntRange(low=int(low), high=int(high), log=log, step=int(step or 1), when=when)
        return FloatRange(low=float(low), high=float(high), log=log, step=step, when=when)

    def _add(self, code: str, key: str | None, expected: str, got: Any, hint: str | None = None) -> None:
        path = f"{self.path}.{key}" if key else self.path
        self._add_made(lambda: _fault(code, path, expected, got, hint))

    def _add_made(self, make: Callable[[], Fault]) -> None:
        """Add a fault; words are made only for those that will be listed."""
        self.faults.append(make() if len(self.faults) < self._n_listed else unlisted())


def _structure_faults(found: Mapping[str, Distribution]) -> list[Fault]:
    if "hidden" not in found:
        return []
    return [
        Fault(code="contradiction", path=f"parameters.{name}", expected=f"either hidden or {name}", got="both")
        for name in ("depth", "width")
        if name in found
    ]


def _condition_faults(found: Mapping[str, Distribution], raw: Mapping[Any, Any]) -> list[Fault]:
    faults = []
    for name, distribution in found.items():
        for other, values in (distribution.when or {}).items():
            path = f"parameters.{name}.when.{other}"
            if other not in found:
                if other not in raw:  # a faulty parameter has its own faults already
                    faults.append(_fault("unknown_key", path, "a parameter of this spec", other))
                continue
            parent = found[other]
            can_take = _membership(parent)
            faults += [
                _fault("out_of_domain", path, f"a value that {other} can take", v) for v in values if not can_take(v)
            ]
            if isinstance(parent, Either) and len({v in parent.extra for v in values}) > 1:
                expected = f"either values of or of {other} or values of its range"
                faults.append(_fault("contradiction", path, expected, values, "write two specs"))
    if not faults:
        faults += _circle_faults(found)
    return faults


def _membership(of: Distribution) -> Callable[[Value], bool]:
    """Make a function that tells whether a distribution has a value, in constant time also for many choices."""
    if not isinstance(of, Choices):
        return of.contains
    known = set(map(_hashable, of.choices))
    return lambda value: _hashable(value) in known


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(part)) for key, part in value.items())
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _circle_faults(found: Mapping[str, Distribution]) -> list[Fault]:
    try:
        Space(parameters=dict(found)).ordered()
    except ValueError as circle:
        return [_fault("circular_condition", "parameters", "conditions without a circle", str(circle))]
    return []
