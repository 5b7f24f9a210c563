"""Child processes of the master, for work that needs much memory or may crash.

A child is a package's `__main__`, as `python -m foldstep.service.data`. For one request (`ask`) a child
reads it as JSON from standard input, answers with a result or with a problem document (`answer_once`), and ends.
The system holds it to its `Limits`, so that a file made to take all memory ends the child and not the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
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
    return {**os.environ, **_ONE_THREAD, **_FRUGAL, _LIMITS: f"{limits.memory_bytes or 0} {limits.cpu_s or 0}"}


def tells_of_memory(said: str) -> bool:
    """Tell whether the last words of a child are that memory was refused to it."""
    return any(words in said for words in _NO_MEMORY)


def ask(package: str, request: dict[str, Any], timeout_s: float, limits: Limits = NO_LIMITS) -> Any:
    """Send one request to a package's child, and return the result as JSON values.

    Raises:
        FoldstepError: the typed error that the child refused with.
        ChildDied: it ended without an answer.
        ChildNeedsMemory: it ended so for its limit of memory, or the machine's.
        ChildTooSlow: it had none after `timeout_s` seconds, or its seconds on the processor.
        Unavailable: the master ends.
    """
    with _folder() as folder:  # what it leaves there when it is killed goes, too
        variables = {**environment(limits), "TMPDIR": folder}
        code, answer, errors = _run(package, json.dumps(request).encode(), timeout_s, variables)
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


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """Make a folder for what a child writes, which is locked as long as this process lives."""
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
    """Answer one request of `ask`, in the child: from standard input to standard output."""
    end_with_parent()
    with answers() as output:
        json.dump(_answer(perform, json.load(sys.stdin)), output)


def limit_memory_and_time() -> None:
    """Hold this process to the limits that its parent told; called once its libraries are loaded."""
    memory_bytes, cpu_s = map(int, os.environ.pop(_LIMITS, "0 0").split())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        _limit(resource.RLIMIT_AS, _address_space() + memory_bytes + (os.cpu_count() or 1) * _PER_CORE_BYTES)
    if cpu_s:
        _limit(resource.RLIMIT_CPU, cpu_s)


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
