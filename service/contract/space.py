"""The space of a search: one distribution for each hyperparameter.

Every distribution maps the unit interval onto its values and back, in its own scale (uniform in the logarithm for
a log range), so that planners and the border check work on unit coordinates and need to know nothing else about it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from foldstep.models.catalog.kinds import Value

Params: TypeAlias = dict[str, Value]
"""A trial's hyperparameters: name to value; inactive hyperparameters are absent."""

STEP_SLACK = 1e-9
"""Tolerance, as a share of a step: an end of a range less than this before its last step counts as on that step."""

EXTRA_SHARE = 0.25
"""Probability of the extra values of a range with `or`, all together."""


class Values(Protocol):
    """The values of a grid along one parameter, each computed on access: a range may have billions."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Value: ...

    def index(self, value: Any, /) -> int:
        """Find the index of a value.

        Raises:
            ValueError: it is not among the values.
        """
        ...


class Frozen(BaseModel):
    """Base of every record of the contract: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Distribution(Frozen):
    when: dict[str, list[Value]] | None = None
    """Condition: other parameters, each with the values for which this one is active; None for always."""


class Fixed(_Distribution):
    """A single value, which is not searched."""

    kind: Literal["fixed"] = "fixed"
    value: Value

    def from_unit(self, _u: float) -> Value:
        """Return the value, whatever `u` is."""
        return self.value

    def to_unit(self, _value: Value) -> float:
        """Return the middle of the unit interval."""
        return 0.5

    def contains(self, value: Value) -> bool:
        """Tell whether `value` is the value."""
        return value == self.value

    @property
    def grid_size(self) -> int | None:
        """Number of values of a grid along this parameter; None where it cannot be enumerated."""
        return 1

    def grid(self) -> Values | None:
        """List the values of a grid along this parameter; None where they cannot be enumerated."""
        return [self.value]


class Choices(_Distribution):
    """A list of values without an order."""

    kind: Literal["choices"] = "choices"
    choices: list[Value] = Field(min_length=1)

    def from_unit(self, u: float) -> Value:
        """Find the choice whose part of [0, 1) contains `u`; all parts have equal length."""
        return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]

    def to_unit(self, value: Value) -> float:
        """Compute the middle of the choice's part of [0, 1)."""
        return (self.choices.index(value) + 0.5) / len(self.choices)

    def contains(self, value: Value) -> bool:
        """Tell whether `value` is one of the choices."""
        return value in self.choices

    @property
    def grid_size(self) -> int | None:
        """Number of values of a grid along this parameter; None where it cannot be enumerated."""
        return len(self.choices)

    def grid(self) -> Values | None:
        """List the values of a grid along this parameter; None where they cannot be enumerated."""
        return list(self.choices)


class FloatRange(_Distribution):
    """Real numbers from `low` to `high`, both included; uniform in the logarithm with `log`.

    With `step` its values are `low`, `low + step` and so on, computed in decimal: three steps of 0.1 from 0 are 0.3, as
    a user writes it in a condition, not 0.30000000000000004.
    """

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def from_unit(self, u: float) -> float:
        """Compute the value at `u` of the way from low to high in the range's scale, on a step, within the bounds."""
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        elif (n_values := self.n_values) is not None:
            value = self.value_at(min(int(u * n_values), n_values - 1))
        else:
            value = self.low + u * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def to_unit(self, value: Value) -> float:
        """Compute the place of `value` between low (0) and high (1) in the range's scale."""
        x = float(value)  # type: ignore[arg-type]
        if self.high == self.low:
            return 0.5
        if self.log:
            return (math.log(x) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (x - self.low) / (self.high - self.low)

    def contains(self, value: Value) -> bool:
        """Tell whether `value` is a number within the bounds and on a step."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        return self.step is None or self.value_at(self.index_of(value)) == value

    @property
    def n_values(self) -> int | None:
        """Number of its values; None without steps."""
        if self.step is None:
            return None
        return _n_values(self.low, self.high, self.step)

    def value_at(self, index: int) -> float:
        """Compute the value `index` steps above `low`; the index may be negative or beyond the range."""
        assert self.step is not None
        value = float(_decimal(self.low) + index * _decimal(self.step))
        return min(value, self.high) if index < _n_values(self.low, self.high, self.step) else value

    def index_of(self, value: Value) -> int:
        """Compute the index of the step that is nearest to a value."""
        assert self.step is not None
        return round((_decimal(float(value)) - _decimal(self.low)) / _decimal(self.step))  # type: ignore[arg-type]

    @property
    def grid_size(self) -> int | None:
        """Number of values of a grid along this parameter; None where it cannot be enumerated."""
        return self.n_values

    def grid(self) -> Values | None:
        """List the values of a grid along this parameter; None where they cannot be enumerated."""
        return None if self.step is None else _Steps(self)


class _Steps:
    """The values of a range with steps; see `Values`."""

    def __init__(self, of: FloatRange) -> None:
        assert of.n_values is not None
        self._of, self._size = of, of.n_values

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int, /) -> float:
        if not 0 <= index < self._size:
            raise IndexError(index)
        return self._of.value_at(index)

    def index(self, value: Any, /) -> int:
        index = self._of.index_of(value)
        if not 0 <= index < self._size or self[index] != value:
            raise ValueError(value)
        return index


@lru_cache(maxsize=4096)  # called for every proposal and parameter
def _n_values(low: float, high: float, step: float) -> int:
    return int((_decimal(high) - _decimal(low)) / _decimal(step) + Decimal(STEP_SLACK)) + 1


@lru_cache(maxsize=4096)
def _decimal(number: float) -> Decimal:
    """Convert a number to the shortest decimal that stands for it: 0.1, not the binary fraction next to it."""
    return Decimal(repr(number))


class IntRange(_Distribution):
    """Whole numbers from `low` to `high`, both included; uniform in the logarithm with `log`."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: int = 1

    def from_unit(self, u: float) -> int:
        """Find the whole number whose part of [0, 1) contains `u`; with `log` u is uniform in the logarithm."""
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(max(round(math.exp(low + u * (high - low))), self.low), self.high)
        return self.value_at(min(int(u * self.n_values), self.n_values - 1))

    def to_unit(self, value: Value) -> float:
        """Compute a place in the number's part of [0, 1), see `from_unit`: the middle, unless `log`."""
        x = int(value)  # type: ignore[arg-type]
        if self.log:
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return (math.log(x) - low) / (high - low)
        return ((x - self.low) / self.step + 0.5) / self.n_values

    def contains(self, value: Value) -> bool:
        """Tell whether `value` is a whole number within the bounds and on a step."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    @property
    def n_values(self) -> int:
        """Number of its values."""
        return (self.high - self.low) // self.step + 1

    def value_at(self, index: int) -> int:
        """Compute the value `index` steps above `low`; the index may be negative or beyond the range."""
        return self.low + index * self.step

    def index_of(self, value: Value) -> int:
        """Compute the index of the step that is nearest to a value."""
        return (2 * (int(value) - self.low) + self.step) // (2 * self.step)  # type: ignore[arg-type]

    def values(self) -> range:
        """List all of its values, as a range."""
        return range(self.low, self.high + 1, self.step)

    @property
    def grid_size(self) -> int | None:
        """Number of values of a grid along this parameter; None where it cannot be enumerated."""
        return None if self.log else self.n_values

    def grid(self) -> Values | None:
        """List the values of a grid along this parameter; None where they cannot be enumerated."""
        return None if self.log else self.values()


class Either(_Distribution):
    """Numbers of a range, or one of a few values outside of it: no penalty, or one from 1e-6 to 0.1.

    A draw is one of the extra values with the probability `EXTRA_SHARE`, all of them alike, and a draw from the range
    otherwise. On the unit interval they come first, then the range.
    """

    kind: Literal["either"] = "either"
    range: Annotated[FloatRange | IntRange, Field(discriminator="kind")]
    extra: list[Value] = Field(min_length=1)

    def from_unit(self, u: float) -> Value:
        """Find the extra value whose part of [0, `EXTRA_SHARE`) contains `u`, or the value of the range beyond it."""
        if u < EXTRA_SHARE:
            return self.extra[min(int(u / EXTRA_SHARE * len(self.extra)), len(self.extra) - 1)]
        return self.range.from_unit((u - EXTRA_SHARE) / (1 - EXTRA_SHARE))

    def to_unit(self, value: Value) -> float:
        """Compute the middle of an extra value's part, or the place of a value of the range."""
        if value in self.extra:
            return (self.extra.index(value) + 0.5) / len(self.extra) * EXTRA_SHARE
        return EXTRA_SHARE + (1 - EXTRA_SHARE) * self.range.to_unit(value)

    def contains(self, value: Value) -> bool:
        """Tell whether `value` is an extra value or one of the range."""
        return value in self.extra or self.range.contains(value)

    @property
    def grid_size(self) -> int | None:
        """Number of values of a grid along this parameter; None where it cannot be enumerated."""
        of_range = self.range.grid_size
        return None if of_range is None else len(self.extra) + of_range

    def grid(self) -> Values | None:
        """List the values of a grid along this parameter; None where they cannot be enumerated."""
        of_range = self.range.grid()
        return None if of_range is None else Joined(self.extra, of_range)


class Joined:
    """A few values, then those of a range; see `Values`."""

    def __init__(self, first: list[Value], then: Values) -> None:
        self._first, self._then = first, then

    def __len__(self) -> int:
        return len(self._first) + len(self._then)

    def __getitem__(self, index: int, /) -> Value:
        beyond = index - len(self._first)
        return self._first[index] if beyond < 0 else self._then[beyond]

    def index(self, value: Any, /) -> int:
        """Find the index of a value; see `Values`."""
        if value in self._first:
            return self._first.index(value)
        return len(self._first) + self._then.index(value)


Distribution: TypeAlias = Annotated[Fixed | Choices | FloatRange | IntRange | Either, Field(discriminator="kind")]


class Space(Frozen):
    """The distributions of a search or of one of its stages, by hyperparameter, in the spec's order."""

    parameters: dict[str, Distribution]

    def searched(self) -> list[str]:
        """List the names of the hyperparameters that are not fixed."""
        return [n for n, d in self.parameters.items() if not isinstance(d, Fixed)]

    def ordered(self) -> list[str]:
        """List all names, each after the names in its condition (`when`).

        Raises:
            ValueError: conditions are circular; the message lists the parameters that could not be ordered.
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
        """Compute the hyperparameters at a point of the unit cube.

        Args:
            point: name to coordinate; a missing coordinate is 0.5.

        Returns:
            The active hyperparameters.
        """
        params: Params = {}
        for name in self.ordered():
            if self.is_active(name, params):
                params[name] = self.parameters[name].from_unit(point.get(name, 0.5))
        return params

    def is_active(self, name: str, params: Mapping[str, Value]) -> bool:
        """Tell whether a parameter's condition (`when`) holds, given the values of other parameters."""
        when = self.parameters[name].when or {}
        return all(other in params and params[other] in allowed for other, allowed in when.items())

    def contains(self, params: Mapping[str, Value]) -> bool:
        """Tell whether `params` has exactly the active names, each with a value of its distribution."""
        active = {n for n in self.parameters if self.is_active(n, params)}
        return active == set(params) and all(self.parameters[n].contains(v) for n, v in params.items())

    def _conditions(self, name: str) -> set[str]:
        return set(self.parameters[name].when or {})
