"""Train several packs on one device concurrently: while the device computes one, the host handles another.

The training of a pack is a generator that yields where the host would have to wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TypeAlias

import torch

PackInFlight: TypeAlias = Iterator[bool]
"""The training of a pack. It yields True to let other packs run, False if it must continue alone on the device."""


class PacksInFlight:
    """Several packs that train in turn, each with its own queue (CUDA stream) of the device.

    Args:
        at_once: number of packs that train at a time.
        device: the device.
    """

    def __init__(self, at_once: int, device: torch.device) -> None:
        self._queues = [_queue(device) for _ in range(at_once)]
        self._is_last = False

    @property
    def is_alone(self) -> bool:
        """Whether packs train one after the other at present."""
        return self._is_last or len(self._queues) == 1

    def run(self, packs: Iterable[PackInFlight]) -> None:
        """Run the training of all packs to their ends; an error of one pack is raised and ends all."""
        apart: list[PackInFlight] = []
        self._is_last = False
        self._run_together(packs, apart)
        self._is_last = True
        with self._queues[0]():
            for pack in apart:
                for _ in pack:
                    pass

    def _run_together(self, packs: Iterable[PackInFlight], apart: list[PackInFlight]) -> None:
        """Run the training of packs in turn; append those that must continue alone to `apart`."""
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
    """Make a function whose context puts the work that it encloses into a separate queue of the device."""
    if device.type != "cuda":
        return nullcontext
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return lambda: torch.cuda.stream(stream)


class SavingRound:
    """The schedule of snapshots: all packs in flight take them in one round, each after one of its epochs.

    The packs run in turn, so when the last one has taken its snapshots, no other has trained a further epoch: every
    snapshot is of its member's present epoch.

    Args:
        is_due: tells whether it is time for a round.
        taken: called when all packs have taken their snapshots.
    """

    def __init__(self, is_due: Callable[[], bool], taken: Callable[[], None]) -> None:
        self._is_due, self._taken = is_due, taken
        self._in_flight: set[object] = set()
        self._to_take: set[object] = set()

    def join(self, pack: object) -> None:
        """Add a pack that begins to train."""
        self._in_flight.add(pack)

    def wants(self, pack: object) -> bool:
        """Tell whether a pack must take its snapshots now; it must then call `took`."""
        if not self._to_take and self._is_due():
            self._to_take = set(self._in_flight)
        return pack in self._to_take

    def took(self, pack: object) -> None:
        """Record that a pack has taken its snapshots; call `taken` if it was the last one."""
        self._to_take.discard(pack)
        if not self._to_take:
            self._taken()

    def leave(self, pack: object) -> None:
        """Remove a pack that no longer trains, so that the round does not wait for it."""
        self._in_flight.discard(pack)
        if pack in self._to_take:
            self.took(pack)
