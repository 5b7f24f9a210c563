"""The types of hyperparameters: what a row of the table says about one, and which values it allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = bool | int | float | str | list[int] | dict[str, float] | None
"""A value of a hyperparameter; a list of ints holds widths, a mapping a weight for each class."""

MAX_DEPTH = 64
MAX_WIDTH = 65_536


class Kind(StrEnum):
    """The type of a hyperparameter's values."""

    FLOAT = "float"
    INT = "int"
    CHOICE = "choice"
    WIDTHS = "widths"
    CLASS_WEIGHT = "class_weight"


@dataclass(frozen=True)
class Hyperparameter:
    """One row of the table.

    Attributes:
        name: the key in a spec's `parameters`.
        kind: the type of its values.
        default: the value if a spec does not name it; None if it depends on other hyperparameters, see `resolve`.
        low: least allowed value (numbers); None for no bound.
        high: greatest allowed value (numbers); None for no bound.
        low_open: whether `low` itself is excluded.
        high_open: whether `high` itself is excluded.
        choices: the allowed names (`Kind.CHOICE`).
        per_layer: whether the keys `name_1`, `name_2`, … set it for single hidden layers.
        meaning: its description in the documentation, one line.
    """

    name: str
    kind: Kind
    default: Value
    meaning: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    per_layer: bool = False

    @property
    def domain(self) -> str:
        """The allowed values, in words, as error messages show them."""
        if self.kind is Kind.CHOICE:
            return "one of " + ", ".join(self.choices)
        if self.kind is Kind.WIDTHS:
            return f"a list of widths, each a whole number from 1 to {MAX_WIDTH}"
        if self.kind is Kind.CLASS_WEIGHT:
            return "none, balanced, or a mapping of classes to weights above 0 (others weigh 1)"
        noun = "a whole number" if self.kind is Kind.INT else "a number"
        parts = []
        if self.low is not None:
            parts.append(f"{'above' if self.low_open else 'at least'} {_plain(self.low)}")
        if self.high is not None:
            parts.append(f"{'below' if self.high_open else 'at most'} {_plain(self.high)}")
        return f"{noun} {' and '.join(parts)}" if parts else noun

    def allows(self, value: Value) -> bool:
        """Tell whether `value` has the right type and lies in the domain."""
        if self.kind is Kind.CHOICE:
            return isinstance(value, str) and value in self.choices
        if self.kind is Kind.WIDTHS:
            return _is_widths(value)
        if self.kind is Kind.CLASS_WEIGHT:
            return value in ("none", "balanced") or _is_class_weights(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind is Kind.INT and not isinstance(value, int):
            return False
        return math.isfinite(value) and self._within(value)

    def _within(self, value: float) -> bool:
        too_low = self.low is not None and (value < self.low or (self.low_open and value == self.low))
        too_high = self.high is not None and (value > self.high or (self.high_open and value == self.high))
        return not (too_low or too_high)


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _is_widths(value: Value) -> bool:
    if not isinstance(value, list) or len(value) > MAX_DEPTH:
        return False
    return all(isinstance(w, int) and not isinstance(w, bool) and 1 <= w <= MAX_WIDTH for w in value)


def _is_class_weights(value: Value) -> bool:
    if not isinstance(value, dict) or not value:
        return False
    weights = value.values()
    return all(isinstance(w, int | float) and not isinstance(w, bool) and 0 < w < math.inf for w in weights)
