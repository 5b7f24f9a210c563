"""Every setting of a worker, with its unit and its default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PACK_BYTES_CPU = 24 << 20
"""A pack that fits the last-level cache is faster than a bigger one; measured by `benchmarks/throughput`."""
PACK_BYTES_CUDA = 4 << 30
"""On a GPU a bigger pack is faster; one that does not fit into memory is halved."""
PACKS_IN_FLIGHT_CPU, PACKS_IN_FLIGHT_CUDA = 1, 2
"""Packs that train at a time. On a GPU one computes while the host does the bookkeeping of the other."""
TYPICAL_MEMBER_BYTES = 400 << 10
"""Memory of a network of two hidden layers of 64 units at batch size 128."""

PATIENCE_S = 2 * 3600.0
"""Default of `patience_s`: a master that is away for an hour finds its workers when it is back."""


def default_cache_dir() -> Path:
    """Find the folder in which canonical data files are kept between runs."""
    return Path.home() / ".cache" / "foldstep" / "datasets"


@dataclass(frozen=True)
class WorkerSettings:
    """The settings of a worker process.

    Attributes:
        device: `cpu`, `cuda`, or `cuda:1`.
        name: of the worker, as users see it.
        members: how many to ask for with a lease; 0 for as many as fit two packs.
        pack_bytes: estimated memory at which a pack is cut; 0 for the device's default.
        idle_wait_s: first pause before asking again when no work was waiting, in seconds.
        save_interval_s: seconds of training that are lost at most when the process is killed; or one epoch, where that
            takes longer.
        patience_s: seconds to retry a request while the master does not answer.
        cache_dir: where data files are kept, and what could not be delivered to the master.
    """

    device: str
    name: str
    cache_dir: Path
    members: int = 0
    pack_bytes: int = 0
    idle_wait_s: float = 0.1
    save_interval_s: float = 30.0
    patience_s: float = PATIENCE_S

    @property
    def spool_dir(self) -> Path:
        """Where what could not be delivered to the master is kept."""
        return self.cache_dir / "spool"

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    @property
    def resolved_pack_bytes(self) -> int:
        """`pack_bytes`, or the device's default."""
        return self.pack_bytes or (PACK_BYTES_CUDA if self.is_cuda else PACK_BYTES_CPU)

    @property
    def packs_in_flight(self) -> int:
        """Number of packs that train at a time."""
        return PACKS_IN_FLIGHT_CUDA if self.is_cuda else PACKS_IN_FLIGHT_CPU

    @property
    def resolved_members(self) -> int:
        """`members`, or what fits two packs of typical networks."""
        return self.members or 2 * self.resolved_pack_bytes // TYPICAL_MEMBER_BYTES
