"""The space of a search: one distribution for each hyperparameter.

Every distribution maps the unit interval onto its values and back, in its own scale (a log range is even
in the exponent), so that planners and the border check work on unit coordinates and need to know nothing
else about it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from foldstep.models.hyperparameters import Value

Params: TypeAlias = dict[str, Value]
"""A trial's hyperparameters: name to value; names that are not active in it are absent."""


class Frozen(BaseModel):
    """Base of every record of the contract: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Distribution(Frozen):
    when: dict[str, list[Value]] | None = None
    """Other parameters and the values of theirs for which this one is active; None for always."""


class Fixed(_Distribution):
    """One value; nothing is searched."""

    kind: Literal["fixed"] = "fixed"
    value: Value

    def from_unit(self, _u: float) -> Value:
        """The value, wherever `u` lies."""
        return self.value

    def to_unit(self, _value: Value) -> float:
        """The middle of the unit interval."""
        return 0.5

    def contains(self, value: Value) -> bool:
        """Whether `value` is the value."""
        return value == self.value

    def grid(self) -> list[Value] | None:
        """The values a grid runs through; None where it has none."""
        return [self.value]


class Choices(_Distribution):
    """A list of values without an order."""

    kind: Literal["choices"] = "choices"
    choices: list[Value] = Field(min_length=1)

    def from_unit(self, u: float) -> Value:
        """The choice whose share of [0, 1) holds `u`."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]

    def to_unit(self, value: Value) -> float:
        """The middle of the choice's share of [0, 1)."""
        return (self.choices.index(value) + 0.5) / len(self.choices)

    def contains(self, value: Value) -> bool:
        """Whether `value` is one of the choices."""
        return value in self.choices

    def grid(self) -> list[Value] | None:
        """The values a grid runs through; None where it has none."""
        return list(self.choices)


class FloatRange(_Distribution):
    """Real numbers from `low` to `high`, both included; even in the exponent with `log`."""

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def from_unit(self, u: float) -> float:
        """The value at `u` of the way from low to high in the range's scale, on its step, clipped to the bounds."""
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        elif self.step is not None:
            value = self.low + self.step * min(int(u * self._n_steps()), self._n_steps() - 1)
        else:
            value = self.low + u * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def to_unit(self, value: Value) -> float:
        """Where `value` lies between low (0) and high (1) in the range's scale."""
        x = float(value)  # type: ignore[arg-type]
        if self.high == self.low:
            return 0.5
        if self.log:
            return (math.log(x) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (x - self.low) / (self.high - self.low)

    def contains(self, value: Value) -> bool:
        """Whether `value` is a number within the bounds."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def grid(self) -> list[Value] | None:
        """The values a grid runs through; None where it has none."""
        if self.step is None:
            return None
        return [min(self.low + i * self.step, self.high) for i in range(self._n_steps())]

    def _n_steps(self) -> int:
        assert self.step is not None
        return int((self.high - self.low) / self.step + 1e-9) + 1


class IntRange(_Distribution):
    """Whole numbers from `low` to `high`, both included; even in the exponent with `log`."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: int = 1

    def from_unit(self, u: float) -> int:
        """The whole number whose share of [0, 1) holds `u`; with `log` shares are even in the exponent."""
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(low + u * (high - low))), self.low), self.high)
        n = (self.high - self.low) // self.step + 1
        return self.low + self.step * min(int(u * n), n - 1)

    def to_unit(self, value: Value) -> float:
        """The middle of the number's share of [0, 1)."""
        x = int(value)  # type: ignore[arg-type]
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return (math.log(x) - low) / (high - low)
        n = (self.high - self.low) // self.step + 1
        return ((x - self.low) / self.step + 0.5) / n

    def contains(self, value: Value) -> bool:
        """Whether `value` is a whole number within the bounds and on the step."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def grid(self) -> list[Value] | None:
        """The values a grid runs through; None where it has none."""
        return None if self.log else list(range(self.low, self.high + 1, self.step))


Distribution: TypeAlias = Annotated[Fixed | Choices | FloatRange | IntRange, Field(discriminator="kind")]


class Space(Frozen):
    """The distributions of a search or of one of its stages, by hyperparameter, in the spec's order."""

    parameters: dict[str, Distribution]

    def searched(self) -> list[str]:
        """Names of the hyperparameters with more than one value."""
        return [n for n, d in self.parameters.items() if not isinstance(d, Fixed)]

    def ordered(self) -> list[str]:
        """All names, each after those that its `when` asks about.

        Raises:
            ValueError: the conditions go round in a circle; the message names the circle's members.
        """
        done: list[str] = []
        left = list(self.parameters)
        while left:
            ready = [n for n in left if self._conditions(n) <= set(done) | (set(self._conditions(n)) - set(left))]
            if not ready:
                raise ValueError(", ".join(left))
            done += ready
            left = [n for n in left if n not in ready]
        return done

    def from_unit(self, point: Mapping[str, float]) -> Params:
        """The hyperparameters at a point of the unit cube (name to coordinate); inactive ones are left out."""
        params: Params = {}
        for name in self.ordered():
            if self.is_active(name, params):
                params[name] = self.parameters[name].from_unit(point.get(name, 0.5))
        return params

    def is_active(self, name: str, params: Mapping[str, Value]) -> bool:
        """Whether `name` applies, given the values of the parameters that its `when` asks about."""
        when = self.parameters[name].when or {}
        return all(other in params and params[other] in allowed for other, allowed in when.items())

    def contains(self, params: Mapping[str, Value]) -> bool:
        """Whether `params` has exactly the active names, each with a value of its distribution."""
        active = {n for n in self.parameters if self.is_active(n, params)}
        return active == set(params) and all(self.parameters[n].contains(v) for n, v in params.items())

    def _conditions(self, name: str) -> set[str]:
        return set(self.parameters[name].when or {})
