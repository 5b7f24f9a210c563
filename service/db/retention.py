"""What may go: searches that ended long ago or stand still, and checkpoints, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from foldstep.service.contract.states import TERMINAL_SEARCH
from foldstep.service.db.tables import leases, searches, trials

_ENDED = sorted(TERMINAL_SEARCH)


def ended_before(connection: Connection, before: datetime) -> Sequence[str]:
    """List the searches that ended before a time."""
    statement = select(searches.c.id).where(searches.c.state.in_(_ENDED), searches.c.finished_at < before)
    return connection.execute(statement.order_by(searches.c.finished_at)).scalars().all()


def idle_since(connection: Connection, before: datetime) -> Sequence[str]:
    """List the open searches that were submitted or paused before a time, and that no worker has reported on since."""
    reported = select(leases.c.id).where(leases.c.search_id == searches.c.id, leases.c.reported_at >= before).exists()
    statement = select(searches.c.id).where(
        searches.c.state.not_in(_ENDED),
        searches.c.created_at < before,
        searches.c.paused_at.is_(None) | (searches.c.paused_at < before),
        ~reported,
    )
    return connection.execute(statement.order_by(searches.c.created_at)).scalars().all()


def kept_worst_first(connection: Connection, search_id: str) -> list[int]:
    """List the trials with checkpoints on disk: those without a rank first, the best one last."""
    kept = (trials.c.search_id == search_id, trials.c.kept)
    order = (trials.c.rank_key.is_not(None), trials.c.rank_key.desc(), trials.c.number.desc())
    return list(connection.execute(select(trials.c.number).where(*kept).order_by(*order)).scalars())
