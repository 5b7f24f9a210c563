"""Child processes of the master, for work that needs much memory or may crash.

A child is a package's `__main__`, as `python -m foldstep.service.data`. For one request (`ask`) a child
reads it as JSON from standard input, answers with a result or with a problem document (`answer_once`), and ends.
The system holds it to its `Limits`, so that a file made to take all memory ends the child and not the machine.

Some children are kept for the next request: then a request and its answer are a line each. A master whose tables all
come from the process that started it may keep all of them, since their imports take longer than a small table (`KEEP`).
One that is asked with `is_kept` always is: it holds what the next request needs again.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import math
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import IO, Any

from pydantic import BaseModel

from foldstep.service.contract.errors import FoldstepError, Unavailable, error_from_problem
from foldstep.service.contract.processes import end_with_parent, last_words, python_command, with_lifeline

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""More threads would take the cores from workers on the same machine, and rounding depends on their number."""
_FRUGAL = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Address space is what the system limits, so none is reserved that is not used."""
_LIMITS = "_FOLDSTEP_LIMITS"
_FOLDER, _NEW_S = "foldstep-child-", 2.0
"""The names of children's folders, and the seconds within which a folder without a lock may have been made just now."""
_PER_CORE_BYTES = 16 << 20
"""Address space of the stacks of one core's threads."""
KEEP = "_FOLDSTEP_KEEP_CHILDREN"
"""The variable by which whoever starts a master lets it keep its children."""
_KEPT, _IDLE_S = "kept", 60.0
"""The word that tells a child that it is kept, and the seconds without a request after which it ends."""
_NO_MEMORY = (
    "MemoryError", "memory allocation of", "Memory allocation still failed", "bad_alloc", "Cannot allocate memory",
    "out of memory",
)  # fmt: skip
"""What libraries say last where memory is refused to them."""


@dataclass(frozen=True)
class Limits:
    """What a child may take of the machine; None is no limit.

    Attributes:
        memory_bytes: memory besides what its libraries take when they are loaded.
        cpu_s: time on the processor, of all its threads together, in seconds.
    """

    memory_bytes: int | None = None
    cpu_s: int | None = None


NO_LIMITS = Limits()


class ChildDied(Exception):
    """The child ended without an answer; the message is its last line on standard error, or its exit code."""


class ChildNeedsMemory(ChildDied):
    """The child was refused the memory that it asked for."""


class ChildTooSlow(Exception):
    """The child took longer than it may, or more time on the processor."""


_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_is_over = threading.Event()


def end_all() -> None:
    """End every child that is at work, for the master ends; none is started afterwards."""
    _is_over.set()
    with _lock:
        for child in _running:
            child.kill()


def environment(limits: Limits = NO_LIMITS) -> dict[str, str]:
    """Build the environment of a child: the master's own, with one thread for each numerical library, and limits."""
    return {**os.environ, **_ONE_THREAD, **_FRUGAL, _LIMITS: _limits_told(limits)}


def _limits_told(limits: Limits) -> str:
    return f"{limits.memory_bytes or 0} {limits.cpu_s or 0}"


def tells_of_memory(said: str) -> bool:
    """Tell whether the last words of a child are that memory was refused to it."""
    return any(words in said for words in _NO_MEMORY)


def ask(
    package: str, request: dict[str, Any], timeout_s: float, limits: Limits = NO_LIMITS, *, is_kept: bool = False
) -> Any:
    """Send one request to a package's child, and return the result as JSON values.

    Args:
        package: its import name.
        request: JSON values.
        timeout_s: seconds until the child is ended; where it is kept, also those for which it is waited for.
        limits: what the child may take.
        is_kept: whether the child is kept for the next request; requests wait for it one after another.

    Raises:
        FoldstepError: the typed error that the child refused with.
        ChildDied: it ended without an answer.
        ChildNeedsMemory: it ended so for its limit of memory, or the machine's.
        ChildTooSlow: it had none after `timeout_s` seconds, or its seconds on the processor.
        Unavailable: the master ends.
    """
    answered = _ask_kept(package, request, timeout_s, limits, waits=is_kept) if is_kept or KEEP in os.environ else None
    code, answer, errors = answered or _ask_new(package, request, timeout_s, limits)
    if _is_over.is_set():
        raise Unavailable("The master is shutting down; send it again in a moment.")
    if code == -signal.SIGXCPU:
        raise ChildTooSlow
    if code != 0:
        said = last_words(errors) or f"exit code {code}"
        is_memory = code == -signal.SIGKILL or tells_of_memory(said)
        raise (ChildNeedsMemory if is_memory else ChildDied)(said)
    read = json.loads(answer)
    if "problem" in read:
        raise error_from_problem(read["problem"])
    return read["result"]


def _ask_new(package: str, request: dict[str, Any], timeout_s: float, limits: Limits) -> tuple[int, bytes, bytes]:
    with locked_folder() as folder:  # what it leaves there when it is killed goes, too
        variables = {**environment(limits), "TMPDIR": folder}
        return _run(package, json.dumps(request).encode(), timeout_s, variables)


_kept: dict[str, _Kept] = {}


def _ask_kept(
    package: str, request: dict[str, Any], timeout_s: float, limits: Limits, *, waits: bool
) -> tuple[int, bytes, bytes] | None:
    """Ask the child of a package that is kept; None where it has just ended after its idle time, or is at work.

    Raises:
        ChildTooSlow: it was at work for `timeout_s` seconds, where it is waited for.
    """
    with _lock:
        child = _kept.setdefault(package, _Kept(package))
    if not child.lock.acquire(timeout=timeout_s if waits else 0):
        if waits:
            raise ChildTooSlow
        return None
    try:
        return child.ask({"limits": _limits_told(limits), "request": request}, timeout_s)
    finally:
        child.lock.release()


class _Kept:
    """A child that answers one request after another; it is started with the first, and again when it has ended.

    Attributes:
        lock: held by the thread that asks.
    """

    def __init__(self, package: str) -> None:
        self.lock = threading.Lock()
        self._package = package
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes]
        self._stack = contextlib.ExitStack()

    def ask(self, request: dict[str, Any], timeout_s: float) -> tuple[int, bytes, bytes] | None:
        """Send a request and read the answer; see `_run`.

        Raises:
            ChildTooSlow: there was no answer within `timeout_s` seconds; the child is ended.
        """
        process, is_late = self._running(), threading.Event()
        assert process.stdin is not None
        assert process.stdout is not None

        def end_late() -> None:
            is_late.set()
            process.kill()

        killer = threading.Timer(timeout_s, end_late)
        killer.start()
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            return None
        finally:
            killer.cancel()
        return (0, answer, b"") if answer.endswith(b"\n") else self._death(process, is_late=is_late.is_set())

    def _death(self, process: subprocess.Popen[bytes], *, is_late: bool) -> tuple[int, bytes, bytes] | None:
        """Tell how a process ended that gave no answer; None where its idle time was over."""
        process.wait()
        if is_late:
            raise ChildTooSlow
        self._errors.seek(0)
        return (process.returncode, b"", self._errors.read()) if process.returncode else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = self._started()
        if _is_over.is_set():
            self._process.kill()
        return self._process

    def _started(self) -> subprocess.Popen[bytes]:
        folder = self._stack.enter_context(locked_folder())
        self._errors = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        # a thread of a pool starts it, and may end long before it
        lifeline = with_lifeline({**environment(), "TMPDIR": folder}, is_held_by_thread=False)
        with _lock:
            process = subprocess.Popen(python_command(self._package, _KEPT), **pipes, **lifeline)
            _running.add(process)
        return process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._end()

    def _end(self) -> None:
        """Forget a process that has ended, with what it left."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):  # a request that it did not read is lost
                        pipe.close()
            with _lock:
                _running.discard(self._process)
        self._stack.close()


def _end_kept() -> None:
    for child in _kept.values():
        child.close()


atexit.register(_end_kept)


@contextlib.contextmanager
def locked_folder() -> Iterator[str]:
    """Make a folder for what a child reads or writes, which is locked as long as this process lives."""
    with TemporaryDirectory(prefix=_FOLDER) as folder:
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(lock)


def delete_leavings() -> None:
    """Delete the folders of children whose master was killed; those of masters that live are locked."""
    for folder in Path(gettempdir()).glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):  # another user's, no folder, in use, or gone by now
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.getuid() and time.time() - os.fstat(lock).st_mtime > _NEW_S:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _run(package: str, sent: bytes, timeout_s: float, variables: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Run a child to its end, and return its exit code, its output and its errors.

    Raises:
        ChildTooSlow: it did not end within `timeout_s` seconds.
    """
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with _lock:
        child = subprocess.Popen(python_command(package), **pipes, **with_lifeline(variables, is_held_by_thread=True))
        _running.add(child)
    if _is_over.is_set():
        child.kill()
    try:
        answer, errors = child.communicate(sent, timeout_s)
    except subprocess.TimeoutExpired:
        raise ChildTooSlow from None
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
        with _lock:
            _running.discard(child)
    return child.returncode, answer, errors


def answer_once(perform: Callable[[dict[str, Any]], BaseModel]) -> None:
    """Answer one request of `ask`, in the child, from standard input to standard output; one after another if kept."""
    end_with_parent()
    with answers() as output:
        if _KEPT in sys.argv[1:]:
            _answer_all(perform, output)
        else:
            json.dump(_answer(perform, json.load(sys.stdin)), output)


def _answer_all(perform: Callable[[dict[str, Any]], BaseModel], output: IO[str]) -> None:
    """Answer a line with a line until none comes any more, each within limits of its own."""
    while select.select([0], [], [], _IDLE_S)[0] and (line := sys.stdin.buffer.readline()):
        read = json.loads(line)
        os.environ[_LIMITS] = read["limits"]
        output.write(json.dumps(_answer(perform, read["request"])) + "\n")
        output.flush()


def limit_memory_and_time() -> None:
    """Hold this process to the limits that its parent told; called once its libraries are loaded."""
    memory_bytes, cpu_s = map(int, os.environ.pop(_LIMITS, "0 0").split())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        _limit(resource.RLIMIT_AS, _address_space() + memory_bytes + (os.cpu_count() or 1) * _PER_CORE_BYTES)
    if cpu_s:
        before_s = math.ceil(time.process_time()) if _KEPT in sys.argv[1:] else 0
        _limit(resource.RLIMIT_CPU, cpu_s + before_s)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    with contextlib.suppress(ValueError, OSError):  # a limit below it is there already
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _address_space() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # not Linux
        return 1 << 30
    return pages * resource.getpagesize()


def answers() -> IO[str]:
    """Open standard output for the answers alone; what a library prints goes to standard error from here on."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return output


def _answer(perform: Callable[[dict[str, Any]], BaseModel], request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": perform(request).model_dump(mode="json")}
    except FoldstepError as error:
        return {"problem": error.problem()}
