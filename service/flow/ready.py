"""Use case: tell whether this master can do its work: it writes a file and a row, and waits two seconds at most."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from functools import partial
from pathlib import Path

from foldstep.service.contract.errors import Fault, Unavailable
from foldstep.service.db.health import why_not_writable
from foldstep.service.flow.context import Context
from foldstep.service.flow.probes import LIMIT_S, Silent

_SAMPLE = bytes(8192)


async def check_ready(context: Context) -> None:
    """Check that the data folder and the database can be written to.

    Raises:
        Unavailable: one of them cannot; the faults say which and why, without addresses.
    """
    looks = {
        "folder": partial(_why_not_folder, context.settings.data_dir),
        "database": partial(why_not_writable, context.database),
    }
    reasons = await asyncio.gather(*(_reason(context, name, look) for name, look in looks.items()))
    faults = [
        Fault(code=f"{name}_not_writable", path=name, expected="to be written to", got=reason)
        for name, reason in zip(looks, reasons, strict=True)
        if reason is not None
    ]
    if faults:
        told = "; ".join(reason for reason in reasons if reason is not None)
        raise Unavailable(f"This master is not ready: {told}.", faults=faults)


async def _reason(context: Context, name: str, look: partial[str | None]) -> str | None:
    try:
        return await context.probes.ask(name, look)
    except Silent:
        return f"the {'data folder' if name == 'folder' else name} does not answer within {LIMIT_S:g} s"


def _why_not_folder(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(_SAMPLE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "its disk is full" if is_full else os.strerror(error.errno or 0).lower()
        return f"the data folder cannot be written to: {reason}"
    return None
