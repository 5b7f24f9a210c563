"""Use case: register a worker."""

from __future__ import annotations

import logging

from foldstep.service.contract.errors import Conflict, Fault
from foldstep.service.contract.lease import WorkerRegistered, WorkerRegistration
from foldstep.service.contract.logs import say
from foldstep.service.contract.version import __version__, fits
from foldstep.service.db import workers
from foldstep.service.flow.context import Context

_log = logging.getLogger(__name__)


def register_worker(context: Context, registration: WorkerRegistration) -> WorkerRegistered:
    """Store a worker and tell it how often to report, and how much at once.

    Raises:
        Conflict: its version has another major or minor than the master's.
    """
    _check_version(registration.version)
    with context.database.write() as connection:
        worker = workers.add(connection, registration, context.now())
    say(_log, logging.INFO, f"registered {registration.name} on {registration.device}", worker=worker)
    settings = context.settings
    return WorkerRegistered(
        worker=worker,
        report_interval_s=settings.report_interval_s,
        lease_ttl_s=settings.lease_ttl_s,
        max_body_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
    )


def _check_version(version: str) -> None:
    if not fits(version):
        expected = f"{__version__}, as the master has"
        hint = "install the same version on both sides"
        fault = Fault(code="version_differs", path="version", expected=expected, got=version, hint=hint)
        raise Conflict(f"This worker does not fit the master: {fault}.", faults=[fault])
