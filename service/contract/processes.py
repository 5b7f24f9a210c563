"""The child processes of Foldstep: their command line, what ends them with their parent, their last words.

A process that is killed cannot end its children. So each child looks after itself: it holds one end of a pipe whose
other end only its parent has, and ends when that is closed, as the system does when the parent ends, however it ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

_VARIABLE = "_FOLDSTEP_LIFELINE"
_PR_SET_PDEATHSIG = 1


def python_command(module: str, *words: str) -> list[str]:
    """Build the command line that runs a module of Foldstep in a child process.

    Args:
        module: its import name, as `foldstep.service.data`.
        words: its arguments.
    """
    # -P: modules in the working directory, which is the user's, must not be imported
    return [sys.executable, "-P", "-m", module, *words]


def with_lifeline(environment: Mapping[str, str], *, is_held_by_thread: bool) -> dict[str, Any]:
    """Build the arguments of `subprocess.Popen` for a child that ends when this process does; see `end_with_parent`.

    Args:
        environment: of the child.
        is_held_by_thread: whether the thread that starts the child lives at least as long as the child. Linux can then
            kill the child even where it hangs: it takes the end of that thread for the end of the parent.
    """
    reader, _ = _lifeline()
    told = f"{reader} {os.getpid()} {int(is_held_by_thread)}"
    return {"env": {**environment, _VARIABLE: told}, "pass_fds": (reader,)}


@cache
def _lifeline() -> tuple[int, int]:
    """Open the pipe that all children of this process read from, and nobody writes to; it stays open to the end."""
    return os.pipe()


def end_with_parent() -> None:
    """End this process at once when its parent ends, if it was started `with_lifeline`; else do nothing."""
    told = os.environ.pop(_VARIABLE, None)  # not for the children of this process
    if told is None:
        return
    reader, parent, is_held_by_thread = map(int, told.split())
    os.set_inheritable(reader, False)
    threading.Thread(target=_watch, args=(reader,), name="lifeline", daemon=True).start()
    if is_held_by_thread and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before that
            os._exit(1)


def _watch(reader: int) -> None:
    os.read(reader, 1)
    os._exit(1)


def last_words(errors: bytes) -> str:
    """Extract the last line of a process's standard error, which names the exception; empty without any output."""
    return errors.decode(errors="replace").strip().rpartition("\n")[2]
