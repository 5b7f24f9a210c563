"""Use case: end searches that nobody works on any more, and delete those that ended long ago."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta

from foldstep.service.contract.errors import IllegalTransition, NotFound
from foldstep.service.contract.logs import say
from foldstep.service.db import retention
from foldstep.service.flow import control
from foldstep.service.flow.context import Context

_log = logging.getLogger(__name__)
EVERY_S = 600.0


def retain(context: Context) -> None:
    """Do so where the settings have `keep_days`: stop what was idle for so long, delete what ended before that."""
    days = context.settings.keep_days
    if days is None:
        return
    before = context.now() - timedelta(days=days)
    with context.database.read() as connection:
        ended = retention.ended_before(connection, before)
        idle = retention.idle_since(connection, before)
    for search_id in ended:
        with suppress(NotFound):
            gone = control.delete(context, search_id)
            said = f"deleted, {days:g} days after its end: {gone.trials} trials, {gone.files} files, {gone.bytes} bytes"
            say(_log, logging.INFO, said, search=search_id)
    for search_id in idle:
        with suppress(NotFound, IllegalTransition):
            control.stop(context, search_id)
            say(_log, logging.INFO, f"stopped: nobody worked on it for {days:g} days", search=search_id)
