"""How a process of ours is started, and what is kept of what it said."""

from __future__ import annotations

import sys


def python_command(module: str, *words: str) -> list[str]:
    """Build the command line that runs one of our modules in a process of its own.

    Args:
        module: its import name, as `foldstep.service.data`.
        words: its arguments.
    """
    # -P: the working directory is the user's, and what lies there is not to be imported
    return [sys.executable, "-P", "-m", module, *words]


def last_words(errors: bytes) -> str:
    """Return the last line of a process's standard error, which names the exception; empty where it said nothing."""
    return errors.decode(errors="replace").strip().rpartition("\n")[2]
