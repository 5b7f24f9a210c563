"""Looks at things that may not answer: each in a thread of its own, one at a time, waited for no longer than a limit.

A frozen database or a disk that hangs blocks the thread that asks it, and nothing ends that thread. So there is one for
each thing; who asks meanwhile waits for the same answer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")
LIMIT_S: Final = 1.5
_FRESH_S = 0.5
"""An answer that is younger than this is given again: a probe that anybody may call costs next to nothing."""


class Silent(Exception):
    """The thing did not answer within the limit."""


class Probes:
    """The looks of one master."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Future[Any], float]] = {}
        self._lock = threading.Lock()

    async def ask(self, name: str, look: Callable[[], T]) -> T:
        """Give what `look` returns or raises.

        Raises:
            Silent: it has not ended within `LIMIT_S`.
        """
        future = asyncio.wrap_future(self._begin(name, look))
        done, _ = await asyncio.wait([future], timeout=LIMIT_S)
        if not done:
            raise Silent(name)
        answer: T = future.result()
        return answer

    def _begin(self, name: str, look: Callable[[], T]) -> Future[T]:
        now = time.monotonic()
        with self._lock:
            known = self._running.get(name)
            if known is not None and (not known[0].done() or now - known[1] < _FRESH_S):
                return known[0]
            future: Future[T] = Future()
            self._running[name] = future, now
        threading.Thread(target=_look, args=(future, look), name=f"probe {name}", daemon=True).start()
        return future


def _look(future: Future[T], look: Callable[[], T]) -> None:
    try:
        future.set_result(look())
    except BaseException as error:
        future.set_exception(error)
