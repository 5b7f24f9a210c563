"""Column types that both databases store the same way."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Generic, Literal, TypeVar

from sqlalchemy import DateTime, Dialect, LargeBinary, String
from sqlalchemy.types import TypeDecorator

S = TypeVar("S", bound=StrEnum)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on both sides; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC; SQLite drops the zone, which is then always the same one."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"expected an aware time, however: {value.isoformat()}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class State(TypeDecorator[S], Generic[S]):
    """A state, stored as its word."""

    impl = String(16)
    cache_ok = True

    def __init__(self, states: type[S]) -> None:
        super().__init__()
        self.states = states

    def process_bind_param(self, value: S | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Convert a state to its word; drivers differ in how they store an enum."""
        return None if value is None else str(value.value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> S | None:  # noqa: ARG002
        """Convert a word to its state."""
        return None if value is None else self.states(value)


class Numbers(TypeDecorator[list[float | None]]):
    """A list of floats as little-endian numbers, NaN for None: a learning curve is one short value.

    Args:
        typecode: `d` for doubles, `f` for single precision.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, typecode: Literal["d", "f"] = "d") -> None:
        super().__init__()
        self.typecode = typecode

    def process_bind_param(self, value: Sequence[float | None] | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """Pack each number into eight bytes, or four; what single precision cannot hold becomes infinite."""
        if value is None:
            return None
        return _little_endian(array(self.typecode, [math.nan if v is None else v for v in value])).tobytes()

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> list[float | None] | None:  # noqa: ARG002
        """Unpack the numbers; those that are not finite become None."""
        if value is None:
            return None
        return [v if math.isfinite(v) else None for v in _little_endian(array(self.typecode, bytes(value)))]


def _little_endian(numbers: array[float]) -> array[float]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
