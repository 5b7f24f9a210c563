"""One worker process: start it, send it the master's address, repeat its standard error, see how it ends.

On its standard output it tells how far it has come, one word a line: `ready` once everything is imported, `worked` once
it has ended a lease.
"""

from __future__ import annotations

import codecs
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from foldstep.service.contract.processes import last_words, with_lifeline

_TAIL_BYTES = 4096
_LAST_WORDS_S = 1.0
_LOOK_S = 0.05
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_KERNEL_COUNTS = Path("/proc/vmstat")
READY, WORKED = "ready", "worked"
"""The marks of a worker: everything is imported; it has ended a lease."""


@dataclass(frozen=True)
class End:
    """How a worker process ended.

    Attributes:
        exit_code: as `subprocess` gives it, negative for a signal.
        said: the last line that it wrote to standard error; empty where it wrote none.
        rss_bytes: the most memory that it had, in bytes; None where that is not known.
        is_oom: whether the system ended it, or a process beside it, for want of memory.
    """

    exit_code: int
    said: str
    rss_bytes: int | None = field(default=None, compare=False)
    is_oom: bool = field(default=False, compare=False)

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

    Attributes:
        marks: what it has told on its standard output.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._n_killed_before = _n_killed_for_memory()
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **with_lifeline(environment, is_held_by_thread=True),
        )
        self.marks: set[str] = set()
        self._tail, self._rss_bytes, self._lock = b"", 0, threading.Lock()
        self._listeners = [threading.Thread(target=listen, daemon=True) for listen in (self._listen, self._mark)]
        for listener in self._listeners:
            listener.start()

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        with self._lock:
            if self.process.returncode is None:
                pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
                if pid:
                    self.process.returncode = os.waitstatus_to_exitcode(status)
                    self._rss_bytes = usage.ru_maxrss * _RSS_UNIT
            return self.process.returncode is None

    def leave(self) -> None:
        """Ask the process to finish its epoch, save and give back."""
        if self.is_running:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGTERM)

    def communicate(self, connection: bytes) -> End:
        """Write the master's address and token to standard input, close it, and wait for the process to end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as pipe:  # it may have ended
            pipe.write(connection)
        while self.is_running:
            if hasattr(os, "waitid"):
                with suppress(ChildProcessError):  # another thread has asked for its end in between
                    os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
            else:
                time.sleep(_LOOK_S)
        for listener in self._listeners:
            listener.join(_LAST_WORDS_S)  # with a limit: a child process of the worker may hold the pipe open
        exit_code = self.process.returncode
        is_oom = exit_code == -signal.SIGKILL and _n_killed_for_memory() > self._n_killed_before
        return End(exit_code, last_words(self._tail), self._rss_bytes or None, is_oom)

    def _mark(self) -> None:
        with self.process.stdout as pipe:  # type: ignore[union-attr]
            for line in pipe:
                self.marks.add(line.decode("utf-8", "replace").strip())

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


def _n_killed_for_memory() -> int:
    """Count the processes that the system has ended for want of memory since it began; 0 where it does not tell."""
    try:
        lines = _KERNEL_COUNTS.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
