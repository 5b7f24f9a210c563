"""How many calls a second each token may make."""

from __future__ import annotations

import time
from collections.abc import Callable

from foldstep.service.contract.errors import TooManyRequests

_BURST_S = 5.0
_MAX_BUCKETS = 10_000


class Rates:
    """A bucket of calls for each token: it fills steadily, and holds those of five seconds.

    Args:
        per_s: calls a second.
        clock: seconds; tests pass their own.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._clock = per_s, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Take one call out of a token's bucket.

        Raises:
            TooManyRequests: the bucket is empty.
        """
        now, full = self._clock(), self._per_s * _BURST_S
        left, seen_at = self._buckets.get(name, (full, now))
        left = min(full, left + (now - seen_at) * self._per_s)
        if left < 1:
            raise TooManyRequests(f"This token has made more than {self._per_s:g} calls a second; try again in a "
                                  "moment. The setting FOLDSTEP_MAX_CALLS_PER_S raises the limit.")  # fmt: skip
        if name not in self._buckets and len(self._buckets) >= _MAX_BUCKETS:
            self._buckets.clear()
        self._buckets[name] = (left - 1, now)
