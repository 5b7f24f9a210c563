"""Work on pieces of a table in as many threads as there are cores, each with matrix products of its own.

NumPy's library of matrix products would itself take a thread for each core. Then it decides by their number how a
product is cut, so that a prediction's last digits depend on the machine; its threads wait for each other at every
layer, which takes ten times as long where other work has the cores; and all between the products is left to one core.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


def in_threads(function: Callable[[A], B], parts: Sequence[A]) -> list[B]:
    """Call a function for each part, in as many threads as the library of matrix products would take."""
    with _one_thread_a_product() as n_threads:
        if n_threads < 2 or len(parts) < 2:
            return [function(part) for part in parts]
        with ThreadPoolExecutor(min(n_threads, len(parts)), "foldstep-predict") as pool:
            return list(pool.map(function, parts))


class _Limit:
    """The limit of this process, which holds as long as somebody predicts: it is one for all threads.

    Attributes:
        lock: held while it is changed.
        n_inside: calls that are under way.
        n_threads: of a product without the limit.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_inside, self.n_threads = 0, 1
        self._limiter: Any = None

    def enter(self) -> int:
        """Limit products to one thread, and tell how many they would take."""
        with self.lock:
            if not self.n_inside:
                libraries = _libraries()
                self.n_threads = max((one["num_threads"] for one in libraries.info()), default=1)
                self._limiter = libraries.limit(limits=1)
            self.n_inside += 1
            return self.n_threads

    def leave(self) -> None:
        """Give up the limit, if nobody else needs it."""
        with self.lock:
            self.n_inside -= 1
            if not self.n_inside:
                self._limiter.restore_original_limits()


_limit = _Limit()


@contextmanager
def _one_thread_a_product() -> Iterator[int]:
    n_threads = _limit.enter()
    try:
        yield n_threads
    finally:
        _limit.leave()


@cache
def _libraries() -> Any:
    """Find the libraries of matrix products that are loaded: NumPy's is, those that come later are not called here."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
