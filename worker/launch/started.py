"""One worker process: start it, send it the master's address, repeat its standard error, end it."""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from foldstep.service.contract.processes import last_words, with_lifeline

_TAIL_BYTES = 4096
_LAST_WORDS_S = 1.0


@dataclass(frozen=True)
class End:
    """How a worker process ended.

    Attributes:
        exit_code: as `subprocess` gives it, negative for a signal.
        said: the last line that it wrote to standard error; empty where it wrote none.
    """

    exit_code: int
    said: str

    @property
    def is_final(self) -> bool:
        """Whether a restart would end the same way: 0 is a clean end, 1 a refusal; signals and crashes are neither."""
        return self.exit_code in (0, 1)

    def __str__(self) -> str:
        """Describe the end in words; the message of a refusal is used as it is."""
        if self.exit_code == 1 and self.said:
            return self.said
        return f"{self._how()}; its last words: {self.said}" if self.said else self._how()

    def _how(self) -> str:
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        if self.exit_code == -signal.SIGKILL:
            return "killed by SIGKILL, as a system does that is out of memory"
        return f"killed by {signal.Signals(-self.exit_code).name}"


class StartedWorker:
    """A worker process; what it writes to standard error appears on ours at once, and the end of it is kept.

    The thread that makes it must wait for its end: on Linux the process ends with that thread.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **with_lifeline(environment, is_held_by_thread=True),
        )
        self._tail = b""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.process.poll() is None

    def leave(self) -> None:
        """Ask the process to finish its epoch, save and give back."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)

    def communicate(self, connection: bytes) -> End:
        """Write the master's address and token to standard input, close it, and wait for the process to end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as pipe:  # it may have ended
            pipe.write(connection)
        exit_code = self.process.wait()
        self._listener.join(_LAST_WORDS_S)  # with a limit: a child process of the worker may hold the pipe open
        return End(exit_code, last_words(self._tail))

    def _listen(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self.process.stderr as pipe:  # type: ignore[union-attr]
            while chunk := os.read(pipe.fileno(), _TAIL_BYTES):
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
                _repeat(decoder.decode(chunk))


def _repeat(text: str) -> None:
    """Write to our standard error, and ignore that it is closed, so that the worker never blocks on its pipe."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
