"""Packs that train on one device at the same time: while it computes an epoch of one, the host does another's books.

A flight is the training of a pack, up to where the host would have to wait for the device: there it lets others go on.
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
    """Flies several at a time, each with its own queue of the device.

    Args:
        at_once: how many.
        device: which.
    """

    def __init__(self, at_once: int, device: torch.device) -> None:
        self._queues = [_queue(device) for _ in range(at_once)]
        self._is_last = False

    @property
    def is_alone(self) -> bool:
        """Whether there is no other flight than the one that asks."""
        return self._is_last or len(self._queues) == 1

    def fly(self, flights: Iterable[PackInFlight]) -> None:
        """Let all of them go on in turn, to their ends; one that fails ends all."""
        parked: list[PackInFlight] = []
        self._is_last = False
        self._run_together(flights, parked)
        self._is_last = True
        with self._queues[0]():
            for flight in parked:
                for _ in flight:
                    pass

    def _run_together(self, flights: Iterable[PackInFlight], parked: list[PackInFlight]) -> None:
        """As above; those that want the device to themselves are `parked`."""
        waiting = iter(flights)
        flying = list(zip(self._queues, islice(waiting, len(self._queues)), strict=False))
        while flying:
            following = []
            for queue, flight in flying:
                with queue():
                    goes_on = next(flight, None)
                if goes_on is False:
                    parked.append(flight)
                following += [(queue, one) for one in ([flight] if goes_on else islice(waiting, 1))]
            flying = following


def _queue(device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """What makes a part of the program put its work into a queue of its own."""
    if device.type != "cuda":
        return nullcontext
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return lambda: torch.cuda.stream(stream)


class SavingRound:
    """When it is time to save, every pack takes the snapshots of its members after an epoch of its own.

    They take turns, so none has gone on by an epoch when the last one has taken its snapshots: each is of the epoch
    that its member has come to.

    Args:
        is_due: whether it is time.
        taken: is called when all have taken them.
    """

    def __init__(self, is_due: Callable[[], bool], taken: Callable[[], None]) -> None:
        self._is_due, self._taken = is_due, taken
        self._flying: set[object] = set()
        self._to_take: set[object] = set()

    def join(self, pack: object) -> None:
        """A pack begins."""
        self._flying.add(pack)

    def wants(self, pack: object) -> bool:
        """Whether a pack is to take its snapshots now, and to say `took`."""
        if not self._to_take and self._is_due():
            self._to_take = set(self._flying)
        return pack in self._to_take

    def took(self, pack: object) -> None:
        """A pack has taken them."""
        self._to_take.discard(pack)
        if not self._to_take:
            self._taken()

    def leave(self, pack: object) -> None:
        """A pack has ended; nobody waits for it."""
        self._flying.discard(pack)
        if pack in self._to_take:
            self.took(pack)
