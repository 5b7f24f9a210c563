"""Tell the master of the death of a worker process at once: its trials need not wait for the end of its lease."""

from __future__ import annotations

import logging
import threading

from foldstep.service.contract.connection import Connection
from foldstep.service.contract.death import KeyedDeath
from foldstep.service.contract.errors import FoldstepError
from foldstep.worker.launch.started import End

log = logging.getLogger(__name__)

_PATIENCE_S = 3600.0
_LONGEST_WORDS = 2000


class Obituaries:
    """The messages to one master about processes that have died, each sent from a thread of its own.

    Args:
        leaving: once it is set, no message waits for a master that does not answer.
    """

    def __init__(self, leaving: threading.Event) -> None:
        self._leaving = leaving
        self._master: tuple[str, str] | None = None

    def connect(self, url: str, token: str) -> None:
        """Name the master and the token."""
        self._master = (url, token)

    def send(self, key: str, end: End) -> None:
        """Tell that the process with this key has died; a message that does not arrive costs only time."""
        if self._master is not None:  # else it cannot hold a lease
            death = KeyedDeath(
                key=key,
                exit_code=end.exit_code if end.exit_code >= 0 else None,
                signal=-end.exit_code if end.exit_code < 0 else None,
                said=end.said[-_LONGEST_WORDS:],
                rss_bytes=end.rss_bytes,
                oom=end.is_oom,
            )
            threading.Thread(target=self._send, args=(*self._master, death), name="obituary", daemon=True).start()

    def _send(self, url: str, token: str, death: KeyedDeath) -> None:
        try:
            connection = Connection(url, token, patience_s=_PATIENCE_S, leaving=self._leaving)
            try:
                connection.request("POST", "/workers:died", json=death.model_dump(mode="json"))
            finally:
                connection.close()
        except FoldstepError as error:  # it had not registered yet, or the master is gone for good
            log.info("a death was not told: %s", error.message)
