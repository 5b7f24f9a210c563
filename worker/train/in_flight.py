"""Trains several packs on one device at a time: while it computes an epoch of one, the host does another's books.

The training of a pack lets others go on where the host would have to wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TypeAlias

import torch

PackInFlight: TypeAlias = Iterator[bool]
"""Whenever it lets others go on it says whether it goes on beside them; if not, it wants the device to itself."""


class PacksInFlight:
    """Lets several packs train at a time, each with its own queue of the device.

    Args:
        at_once: how many.
        device: which.
    """

    def __init__(self, at_once: int, device: torch.device) -> None:
        self._queues = [_queue(device) for _ in range(at_once)]
        self._is_last = False

    @property
    def is_alone(self) -> bool:
        """Whether the pack that asks has the device to itself."""
        return self._is_last or len(self._queues) == 1

    def run(self, packs: Iterable[PackInFlight]) -> None:
        """Let all packs go on in turn, to their ends; one that fails ends all."""
        apart: list[PackInFlight] = []
        self._is_last = False
        self._run_together(packs, apart)
        self._is_last = True
        with self._queues[0]():
            for pack in apart:
                for _ in pack:
                    pass

    def _run_together(self, packs: Iterable[PackInFlight], apart: list[PackInFlight]) -> None:
        """Let packs go on in turn; those that want the device to themselves are put `apart`."""
        waiting = iter(packs)
        in_flight = list(zip(self._queues, islice(waiting, len(self._queues)), strict=False))
        while in_flight:
            following = []
            for queue, pack in in_flight:
                with queue():
                    goes_on = next(pack, None)
                if goes_on is False:
                    apart.append(pack)
                following += [(queue, one) for one in ([pack] if goes_on else islice(waiting, 1))]
            in_flight = following


def _queue(device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Make what lets a part of the program put its work into a queue of its own."""
    if device.type != "cuda":
        return nullcontext
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return lambda: torch.cuda.stream(stream)


class SavingRound:
    """Tells each pack in flight when to take the snapshots of its members: all in one round, after an epoch of its own.

    They take turns, so none has gone on by an epoch when the last one has taken its snapshots: each is of the epoch
    that its member has come to.

    Args:
        is_due: whether it is time.
        taken: is called when all have taken them.
    """

    def __init__(self, is_due: Callable[[], bool], taken: Callable[[], None]) -> None:
        self._is_due, self._taken = is_due, taken
        self._in_flight: set[object] = set()
        self._to_take: set[object] = set()

    def join(self, pack: object) -> None:
        """Add a pack that begins."""
        self._in_flight.add(pack)

    def wants(self, pack: object) -> bool:
        """Tell whether a pack is to take its snapshots now, and to say `took`."""
        if not self._to_take and self._is_due():
            self._to_take = set(self._in_flight)
        return pack in self._to_take

    def took(self, pack: object) -> None:
        """Note that a pack has taken them; when all have, say so."""
        self._to_take.discard(pack)
        if not self._to_take:
            self._taken()

    def leave(self, pack: object) -> None:
        """Remove a pack that has ended; nobody waits for it."""
        self._in_flight.discard(pack)
        if pack in self._to_take:
            self.took(pack)
