"""Every knob of a worker, with its unit and its default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PACK_BYTES_CPU = 24 << 20
"""A pack that fits the last-level cache is faster than a bigger one; measured by `benchmarks/throughput`."""
PACK_BYTES_CUDA = 4 << 30
"""On a GPU bigger is better; out of memory halves the pack."""
PACKS_IN_FLIGHT_CPU, PACKS_IN_FLIGHT_CUDA = 1, 2
"""A core has nothing to do but what it is doing; a GPU would wait while the host does a pack's books."""
TYPICAL_MEMBER_BYTES = 400 << 10
"""A network of two hidden layers of 64 units at batch size 128."""


def default_cache_dir() -> Path:
    """Where canonical data files are kept between runs."""
    return Path.home() / ".cache" / "foldstep" / "datasets"


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker process runs.

    Attributes:
        device: `cpu`, `cuda`, or `cuda:1`.
        name: how people know it.
        members: networks to ask for with a lease; 0 for what fits two packs.
        pack_bytes: estimated memory at which a pack is cut; 0 for the device's default.
        idle_wait_s: pause before asking again when there was nothing to do.
        save_interval_s: at most so much training is lost when the process is killed.
        patience_s: how long to go on trying while the master is not there.
        cache_dir: where data files are kept.
    """

    device: str
    name: str
    cache_dir: Path
    members: int = 0
    pack_bytes: int = 0
    idle_wait_s: float = 0.1
    save_interval_s: float = 60.0
    patience_s: float = 600.0

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
        """Packs that train at a time."""
        return PACKS_IN_FLIGHT_CUDA if self.is_cuda else PACKS_IN_FLIGHT_CPU

    @property
    def resolved_members(self) -> int:
        """`members`, or what fits two packs of typical networks."""
        return self.members or 2 * self.resolved_pack_bytes // TYPICAL_MEMBER_BYTES
