"""What a master has seen of the held leases: a lease ends when nothing was heard of it for long enough.

A master counts the time that it looked on, by its own monotonic clock. So a jump of the clock changes nothing, and a
master that was away, stopped or cut off from its database gives every held lease a whole time-to-live.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from foldstep.service.db.leases import HeldLease
from foldstep.service.settings import Settings

LONGEST_GAP_S = 5.0
"""The most time between two looks at the leases, in seconds, for which a master says that it looked on."""


class Watch:
    """A memory of when each held lease was first seen with its present number of renewals.

    Args:
        clock: seconds that never go back.
        longest_gap_s: the most that counts, in seconds, of the time between two looks.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, longest_gap_s: float = math.inf) -> None:
        self._clock, self._longest_gap_s = clock, longest_gap_s
        self._lock = threading.Lock()
        self._watched_s, self._last = 0.0, clock()
        self._looked_at = -math.inf
        self._since: dict[int, tuple[int, float]] = {}

    def saw(self, lease_id: int, renewals: int) -> None:
        """Note that a worker has taken or renewed a lease just now."""
        with self._lock:
            self._since[lease_id] = (renewals, self._now())

    def overdue(self, held: Sequence[HeldLease], ttl_s: float) -> list[HeldLease]:
        """Look at all held leases, and choose those that were not renewed for `ttl_s` seconds or longer."""
        with self._lock:
            now = self._looked_at = self._now()
            self._since = {lease.id: self._seen(lease, now) for lease in held}
            return [lease for lease in held if now - self._since[lease.id][1] >= ttl_s]

    def is_due(self, interval_s: float) -> bool:
        """Tell whether the last look is `interval_s` seconds ago or longer."""
        with self._lock:
            return self._now() - self._looked_at >= interval_s

    def _seen(self, lease: HeldLease, now: float) -> tuple[int, float]:
        before = self._since.get(lease.id)
        return before if before is not None and before[0] >= lease.renewals else (lease.renewals, now)

    def _now(self) -> float:
        now = self._clock()
        self._watched_s += min(max(now - self._last, 0.0), self._longest_gap_s)
        self._last = now
        return self._watched_s


def watch_of(settings: Settings) -> Watch:
    """Make the watch of a master that sweeps at its regular interval."""
    return Watch(longest_gap_s=max(2 * settings.sweep_interval_s, LONGEST_GAP_S))
