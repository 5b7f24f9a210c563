"""The child process that runs the models of learning methods, one for the whole master.

So the master imports neither optuna nor scikit-learn nor torch, and a batch that takes a second of arithmetic delays
no heartbeat. The child (`service/planner/__main__.py`) reads a request as one line of JSON and answers with one line.
Its imports take seconds, so it stays for the next batch; after some time without a request it ends by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import tempfile
import threading
from typing import IO

from foldstep.service.child import NO_LIMITS, Limits, environment, tells_of_memory
from foldstep.service.contract.processes import last_words, python_command, with_lifeline
from foldstep.service.contract.space import Params
from foldstep.service.planner.request import BatchRequest

TIMEOUT_S = 600.0
IDLE_S = 60.0


class ProposingFailed(Exception):
    """The child died or took too long, twice; the message is the last line of its standard error."""


class Child:
    """The child process; it is started at the first request, and again when it has ended."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S, idle_s: float = IDLE_S) -> None:
        """Prepare without starting a process.

        Args:
            timeout_s: time after which an attempt at a batch is given up, in seconds.
            idle_s: time without a request after which the child ends, in seconds.
        """
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._limits = NO_LIMITS
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def propose(self, request: BatchRequest, limits: Limits = NO_LIMITS) -> list[Params]:
        """Call `propose.propose` in the child; calls from other threads wait until it is free.

        Args:
            request: what the batch is proposed from.
            limits: what the child may take of the machine; one with other limits is replaced.

        Raises:
            ProposingFailed: the child died or took too long, twice for this request.
        """
        line = request.model_dump_json().encode() + b"\n"
        with self._lock:
            self._hold_to(limits)
            answer = self._ask(line) or self._ask(line)
            if answer is None:
                raise ProposingFailed(self._last_words())
        return [dict(params) for params in json.loads(answer)]

    def close(self) -> None:
        """End the process; no request can be made afterwards."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)
            self._errors.close()

    def _hold_to(self, limits: Limits) -> None:
        if limits != self._limits and self._process is not None:
            self._end(self._process)
        self._limits = limits

    def _ask(self, line: bytes) -> bytes | None:
        """Send a request line and read the answer; None where the child ended or timed out before it answered."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        killer = threading.Timer(self._timeout_s, process.kill)
        killer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:  # it has just ended after its idle time
            answer = b""
        finally:
            killer.cancel()
        if not answer.endswith(b"\n"):
            self._end(process)
            return None
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end(self._process)
        if self._process is None:
            self._process = subprocess.Popen(
                python_command("foldstep.service.planner", str(self._idle_s)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                # a thread of the master's pool starts it, and may end long before it
                **with_lifeline(environment(self._limits), is_held_by_thread=False),
            )
        return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # data that it did not read is lost
                    pipe.close()
        self._process = None

    def _last_words(self) -> str:
        self._errors.seek(0)
        said = last_words(self._errors.read())
        if tells_of_memory(said) and self._limits.memory_bytes is not None:
            return (f"its model takes more than {self._limits.memory_bytes >> 20:,} MiB of memory; raise "
                    f"FOLDSTEP_COMPUTE_MEMORY_BYTES of the master ({said})")  # fmt: skip
        return said or f"the planner's process ended, or took more than {self._timeout_s:g} s"


_child = Child()
atexit.register(lambda: _child.close())


def propose_in_child(request: BatchRequest, limits: Limits = NO_LIMITS) -> list[Params]:
    """Call `propose.propose` in the child process of this master.

    Raises:
        ProposingFailed: the child died, or took too long or too much memory, twice.
    """
    return _child.propose(request, limits)
