"""Answers that take long to compute, kept until the history that they were computed from has changed.

A short history is computed again at once. Of a long one the kept answer is given while a thread computes the next, so
that neither the page nor the workers' calls wait for an analysis of a million trials. Nothing is computed twice at a
time: who asks meanwhile gets the same answer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 64
"""Answers that are kept; the one that nobody asked for for the longest time goes first."""


@dataclass
class _Kept:
    version: Hashable
    value: Any


@dataclass(frozen=True)
class Answers:
    """The answers that a master keeps."""

    _kept: OrderedDict[Hashable, _Kept] = field(default_factory=OrderedDict)
    _coming: dict[Hashable, Future[Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, version: Hashable, compute: Callable[[], T], *, may_be_older: bool = False) -> T:
        """Give the answer that is kept, or compute it.

        Args:
            key: names the question.
            version: of what the answer follows from; an answer of another version is computed anew.
            compute: computes the answer; what it raises, each caller that waits for it gets.
            may_be_older: whether an answer of an earlier version will do while a thread computes the present one.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                if kept.version == version:
                    return kept.value  # type: ignore[no-any-return]
            coming = self._coming.get(key)
            is_first = coming is None
            if coming is None:
                coming = self._coming[key] = Future()
        if is_first and kept is not None and may_be_older:
            threading.Thread(target=self._fill, args=(key, version, compute, coming), daemon=True).start()
        elif is_first:
            self._fill(key, version, compute, coming)
        return kept.value if kept is not None and may_be_older else coming.result()  # type: ignore[no-any-return]

    def _fill(self, key: Hashable, version: Hashable, compute: Callable[[], T], coming: Future[T]) -> None:
        try:
            value = compute()
        except BaseException as error:
            self._end(key, None)
            coming.set_exception(error)
            return
        self._end(key, _Kept(version, value))
        coming.set_result(value)

    def _end(self, key: Hashable, kept: _Kept | None) -> None:
        with self._lock:
            del self._coming[key]
            if kept is not None:
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > MOST:
                    self._kept.popitem(last=False)
