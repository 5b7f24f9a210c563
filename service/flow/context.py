"""The database, the settings and the clock that every use case works with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from foldstep.service.db.engine import Database
from foldstep.service.flow.kept import Answers
from foldstep.service.flow.measures import Measures
from foldstep.service.flow.probes import Probes
from foldstep.service.flow.watch import Watch
from foldstep.service.settings import Settings


def utc_now() -> datetime:
    """Read the clock; the time is aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Proposing:
    """The searches for which a thread of this master is proposing the next batch."""

    searches: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Turn:
    """The turn to plan a search: who has the lock plans; `n` counts the turns."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    n: int = 0


@dataclass(frozen=True)
class Turns:
    """The turns of the searches that this master has planned."""

    _of: dict[str, Turn] = field(default_factory=dict)

    def of(self, search_id: str) -> Turn:
        """Find the turn of a search."""
        return self._of.setdefault(search_id, Turn())


@dataclass(frozen=True)
class Context:
    """The database, the settings and the clock of one master.

    Attributes:
        watch: what it has seen of the held leases.
        measures: what it measures of itself, for /metrics.
        probes: its looks at what may not answer.
        answers: what takes long to compute.
        answering: the module of the child process that works with networks; empty where nobody said which.
        unrecorded: member steps and epochs of reports, by search, that are to be added to its pace.
    """

    database: Database
    settings: Settings
    now: Callable[[], datetime] = utc_now
    watch: Watch = field(default_factory=Watch)
    proposing: Proposing = field(default_factory=Proposing)
    turns: Turns = field(default_factory=Turns)
    measures: Measures = field(default_factory=Measures)
    probes: Probes = field(default_factory=Probes)
    answers: Answers = field(default_factory=Answers)
    answering: str = ""
    unrecorded: dict[str, tuple[int, int]] = field(default_factory=dict)

    def lease_end(self, now: datetime) -> datetime:
        """Compute about when a lease that is granted or renewed now ends without a word of its worker."""
        return now + timedelta(seconds=self.settings.lease_ttl_s)
