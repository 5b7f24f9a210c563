"""What wrong tokens cost the address that sends them: first a delay, then a refusal without a look at the token."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from foldstep.service.contract.errors import TooManyRequests

_FREE = 0.3
_FIRST_DELAY_S = 0.25
_LONGEST_DELAY_S = 2.0
_MAX_ADDRESSES = 10_000
_MAX_WAITING = 64
GUESSABLE = 32
"""A token with fewer characters may be found by trying; the tokens that Foldstep makes have more."""


@dataclass
class _Count:
    """How many wrong tokens an address has sent; it falls steadily with time."""

    wrong: float
    seen_at: float


class WrongTokens:
    """The wrong tokens of each address within the last minute.

    A wrong token after the first third of the limit is answered late, and beyond the limit it is refused at once. A
    right token is let in at any time, so that nobody is locked out by a neighbour, but a guessable one only below the
    limit.

    Args:
        per_minute: how many wrong tokens an address may send.
        clock: seconds; tests pass their own.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute, self._clock = per_minute, clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._n_waiting = 0

    def refuse_if_over(self, address: str) -> None:
        """Refuse an address that has sent too many wrong tokens.

        Raises:
            TooManyRequests: it has.
        """
        if self._now(address).wrong > self._per_minute - 1:
            raise TooManyRequests("Too many wrong tokens came from this address; try again in a minute.")

    def add(self, address: str) -> float:
        """Count a wrong token, and return how many seconds its answer is to wait."""
        count = self._now(address)
        count.wrong += 1
        self._counts[_network(address)] = count
        self._counts.move_to_end(_network(address))
        if len(self._counts) > _MAX_ADDRESSES:
            self._counts.popitem(last=False)
        doublings = int(count.wrong - _FREE * self._per_minute) - 1
        is_late = doublings >= 0 and self._n_waiting < _MAX_WAITING
        return min(_FIRST_DELAY_S * 2.0 ** min(doublings, 8), _LONGEST_DELAY_S) if is_late else 0.0

    def is_guessable(self, token: str) -> bool:
        """Tell whether a token is so short that it might be found by trying."""
        return len(token) < GUESSABLE

    def __enter__(self) -> None:
        """Count an answer that waits."""
        self._n_waiting += 1

    def __exit__(self, *_: object) -> None:
        self._n_waiting -= 1

    def _now(self, address: str) -> _Count:
        now = self._clock()
        count = self._counts.get(_network(address)) or _Count(0.0, now)
        count.wrong = max(0.0, count.wrong - (now - count.seen_at) * self._per_minute / 60)
        count.seen_at = now
        return count


def _network(address: str) -> str:
    """Group IPv6 addresses by the network that one customer gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
