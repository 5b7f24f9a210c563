"""Several use cases in one transaction of SQLite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from foldstep.service.db.engine import Busy
from foldstep.service.flow.context import Context

T = TypeVar("T")


def together(context: Context, work: Callable[[], T], *, wait: bool) -> T | None:
    """Do some work whose writes are committed at its end, all at once; a part of it that fails is taken back alone.

    Args:
        context: of a master on SQLite.
        work: calls use cases that do nothing after their transaction that a failed commit would have to undo.
        wait: whether to wait while somebody else writes.

    Returns:
        What the work returns; None where somebody else writes, and is not to be waited for: then nothing was done.

    Raises:
        Unavailable: the database cannot be reached; nothing was written.
    """
    try:
        with context.database.together(wait=wait):
            return work()
    except Busy:
        return None
