"""What every use case works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.db.engine import Database
from service.settings import Settings


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Context:
    """The database, the knobs and the clock of one master."""

    database: Database
    settings: Settings
    now: Callable[[], datetime] = utc_now

    def lease_end(self, now: datetime) -> datetime:
        """When a lease that is granted or renewed now runs out."""
        return now + timedelta(seconds=self.settings.lease_ttl_s)
