"""Pages of lists: where one ended is its cursor, so that a late page costs no more than the first."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from foldstep.service.contract.errors import Fault, InvalidInput

T = TypeVar("T")
Key = TypeVar("Key", bound=tuple[Any, ...])


class Page(NamedTuple, Generic[T]):
    """A part of a list.

    Attributes:
        cursor: requests the next part; None at the end.
    """

    rows: list[T]
    cursor: str | None


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], tuple[str | int, ...]]) -> Page[T]:
    """Make a page of the first `limit` rows; that there is one more tells that another page follows."""
    shown = list(rows[:limit])
    return Page(shown, write_cursor(key(shown[-1])) if len(rows) > limit else None)


def write_cursor(key: tuple[str | int, ...]) -> str:
    """Write the key of the last row of a page as a cursor."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def read_cursor(text: str | None, read: Callable[..., Key]) -> Key | None:
    """Read the key that a cursor was written from; None without a cursor.

    Args:
        text: the cursor.
        read: makes the key of its parts; a ValueError or TypeError says that they are none.

    Raises:
        InvalidInput: it is no cursor of this list.
    """
    if text is None:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(text.encode()))
        if not isinstance(parts, list):
            raise TypeError
        return read(*parts)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        fault = Fault(code="bad_cursor", path="cursor", expected="the cursor of a page before", got=text)
        raise InvalidInput(f"This page does not exist: {fault}.", faults=[fault]) from None
