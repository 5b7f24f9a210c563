"""The death of a worker process, as its parent saw it, and what it says of the trials that it trained."""

from __future__ import annotations

import signal as signals

from pydantic import Field

from foldstep.service.contract.lease import Key
from foldstep.service.contract.space import Frozen

_FROM_OUTSIDE = frozenset(
    int(getattr(signals, name)) for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP") if hasattr(signals, name)
)
_SHELL = 128
"""A shell ends with this number plus the signal that ended its command."""
MIB = 1 << 20


class WorkerDeath(Frozen):
    """The end of a worker process (`POST /workers/{worker}:died`), told by its parent.

    Attributes:
        exit_code: of the process; None where a signal ended it.
        signal: number of the signal that ended it; None where it ended by itself.
        said: the last words that it wrote to its standard error.
        rss_bytes: the most memory that it had, in bytes; None where that is not known.
        oom: whether the system ended it for want of memory.
    """

    exit_code: int | None = Field(default=None, ge=-(2**31), lt=2**31)
    signal: int | None = Field(default=None, ge=1, le=255)
    said: str = Field(default="", max_length=20_000)
    rss_bytes: int | None = Field(default=None, ge=0)
    oom: bool = False

    @property
    def by_signal(self) -> int | None:
        """The signal that ended it, also where a shell or Python's negative exit code tells of it."""
        if self.signal is not None or self.exit_code is None:
            return self.signal
        code = self.exit_code
        return -code if code < 0 else code - _SHELL if _SHELL < code < _SHELL + 65 else None

    @property
    def is_evident(self) -> bool:
        """Whether the process died of its own work; a plain kill may have come from outside."""
        if self.oom:
            return True
        number = self.by_signal
        return number not in _FROM_OUTSIDE if number is not None else bool(self.exit_code)

    def __str__(self) -> str:
        memory = "" if self.rss_bytes is None else f", with {self.rss_bytes / MIB:,.0f} MiB of memory"
        oom = ", as the machine had no memory left" if self.oom else ""
        said = " ".join(self.said.split())[-500:]
        return f"its worker ended {self._how()}{memory}{oom}" + (f"; it said: {said}" if said else "")

    def _how(self) -> str:
        number = self.by_signal
        if number is None:
            return "for an unknown reason" if self.exit_code is None else f"with exit code {self.exit_code}"
        try:
            return f"by signal {number} ({signals.Signals(number).name})"
        except ValueError:
            return f"by signal {number}"


class KeyedDeath(WorkerDeath):
    """The end of a worker process that is named by its key (`POST /workers:died`).

    Attributes:
        key: as in the worker's registration.
    """

    key: Key
